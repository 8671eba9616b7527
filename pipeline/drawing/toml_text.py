"""Writes the zones and lines of a stream into the text of a config: whatever else is in it stays as it is written."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from watchline.pipeline.errors import ConfigError

Tables = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""The tables of a stream: its zones by name under "zones", its lines by name under "lines"."""

_BARE = re.compile(r"[A-Za-z0-9_-]+$")


def with_tables(text: str, stream: str, source: str, tables: Tables) -> str:
    """The text with these tables in place of those that the stream has.

    Args:
        source: of the stream, where the text does not know it.

    Raises:
        ConfigError: the text is not TOML, or has such a table in a form that cannot be replaced.
    """
    before = _parsed(text)
    kept = [line for block in _blocks(text) for line in (_remarks(block) if _is_one(block, stream, tables) else block)]
    parts = [written] if (written := "".join(kept).rstrip("\n")) else []
    if stream not in before.get("streams", {}):
        parts.append(f"[streams.{_key(stream)}]\nsource = {_value(source)}")
    for kind, entries in tables.items():
        for name, entry in entries.items():
            rows = [f"{key} = {_value(value)}" for key, value in entry.items()]
            parts.append("\n".join([f"[streams.{_key(stream)}.{kind}.{_key(name)}]", *rows]))
    after = "\n\n".join(parts) + "\n"
    wanted = {**before.get("streams", {}).get(stream, {"source": source})}
    for kind, entries in tables.items():
        wanted.pop(kind, None)
        wanted |= {kind: {name: dict(entry) for name, entry in entries.items()}} if entries else {}
    try:
        is_so = tomllib.loads(after) == {**before, "streams": {**before.get("streams", {}), stream: wanted}}
    except tomllib.TOMLDecodeError:
        is_so = False
    if not is_so:
        raise ConfigError(
            f"the zones and lines of {stream} are not in tables of their own: expected "
            f"[streams.{_key(stream)}.zones.NAME] and [streams.….lines.NAME], each with its keys below it"
        )
    return after


def tables_of(text: str, stream: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The zones and lines that a stream has in a text. Raises ConfigError: it is not TOML."""
    table = _parsed(text).get("streams", {}).get(stream, {})
    return {kind: {**table.get(kind, {})} for kind in ("zones", "lines")}


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"no TOML: {error}") from None


def _blocks(text: str) -> list[list[str]]:
    """The lines of each table, its header first; of the first block, those before any table."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if _path(line):
            blocks.append([])
        blocks[-1].append(line)
    return [block for block in blocks if block]


def _path(line: str) -> list[str]:
    """The keys of a table's header; none of another line."""
    try:
        table = tomllib.loads(line) if line.lstrip().startswith("[") else {}
    except tomllib.TOMLDecodeError:
        return []
    keys = []
    while table:
        [(key, table)] = table.items()
        keys.append(key)
    return keys


def _is_one(block: Sequence[str], stream: str, tables: Tables) -> bool:
    """Whether a block is a zone or a line of the stream, or the table of them all."""
    path = _path(block[0])
    return path[:2] == ["streams", stream] and len(path) > 2 and path[2] in tables


def _remarks(block: Sequence[str]) -> list[str]:
    """The comments at the end of a block, which belong to what comes after it."""
    last = max(n for n, line in enumerate(block) if line.strip() and not line.lstrip().startswith("#"))
    return list(block[last + 1 :])


def _key(name: str) -> str:
    return name if _BARE.match(name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    """As TOML has it; JSON's texts, numbers and lists are the same there."""
    return json.dumps(value, ensure_ascii=False)
