"""Lines of events, read again: as `annotate`, `run` and `bench map` have written them, each checked.

    for file in files_in(Path("out")):
        for number, line in lines_in(file):
            ...

pipeline/schema.py says what they are. Here is checked what readers rely on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from watchline.files import PART
from watchline.streams.errors import EventsNotFound, EventsRefused
from watchline.streams.write.jsonl import SCHEMA

SUFFIX = ".jsonl"
LONGEST = 1 << 26  # bytes of a line: a hundred masks of 8K have less
FARTHEST = 1e6  # pixels of a coordinate
EXPECTED = "expected events, as `watchline annotate` writes them"


def files_in(path: Path) -> list[Path]:
    """The file itself, or all files of events in a folder and below it: by name, and no hidden ones.

    Raises:
        EventsNotFound: there are none.
    """
    if not path.is_dir():
        if not path.exists():
            raise EventsNotFound(f"{path}: there is no such file or folder; {EXPECTED}")
        return [path]
    found = [file for file in path.rglob(f"*{SUFFIX}") if not _is_hidden(file.relative_to(path))]
    if not found:
        unfinished = next(path.rglob(f"*{SUFFIX}{PART}"), None)
        more = f"; {unfinished} is of a run that writes it or was killed: wait, or run it again" if unfinished else ""
        raise EventsNotFound(f"{path} holds no {SUFFIX} files; {EXPECTED}{more}")
    return in_order(found)


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files of events by name: of a camera, by time."""
    return sorted(files, key=lambda file: file.with_suffix(""))  # the first segment of a second before `…Z-2`


def lines_in(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The lines of a file, each with its number from 1.

    Raises:
        EventsNotFound: there is no such file.
        EventsRefused: it cannot be read, or a line is not an event of a schema that is known.
    """
    try:
        with file.open("rb") as text:
            for number, raw in enumerate(iter(lambda: text.readline(LONGEST), b""), 1):
                yield number, _parsed(file, number, raw)
    except FileNotFoundError as error:
        raise EventsNotFound(f"{file}: there is no such file; {EXPECTED}") from error
    except OSError as error:
        raise EventsRefused(f"{file} cannot be read: {error.strerror}; check its owner and rights") from error


def labels_of(header: object, of: str = "detections") -> tuple[str, ...]:
    """The labels of the model that gave the detections, or `of` "instances"; empty if the header does not say.

    Args:
        header: of a line that has one.
    """
    match header:
        case {"stages": {"segmenter": {"model": {"labels": list(labels)}}}} if of == "instances":
            return tuple(map(str, labels))
        case {"model": {"labels": list(labels)}} if of == "detections":
            return tuple(map(str, labels))
    return ()


def checked(file: Path, number: int, rows: Any) -> list[Mapping[str, Any]]:
    """The detections of a line, as they are. Raises EventsRefused: they cannot be."""
    for row in rows if isinstance(rows, list) else [None]:
        match row:
            case {"label": str(), "score": int() | float() as score, "box": [*sides]} if 0 <= score <= 1:
                if len(sides) == 4 and all(isinstance(v, int | float) and abs(v) <= FARTHEST for v in sides):
                    continue
        raise EventsRefused(
            f"{file}: line {number} has the detection {str(row)[:60]}: expected a label, a score in 0..1 and a box "
            "x1, y1, x2, y2 in pixels"
        )
    return list(rows)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _parsed(file: Path, number: int, raw: bytes) -> Mapping[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        torn = "" if raw.endswith(b"\n") else "; it breaks off, so its run was killed or writes it still"
        raise EventsRefused(f"{file}: line {number} is no JSON; {EXPECTED}{torn}") from error
    if not isinstance(line, dict):
        raise EventsRefused(f"{file}: line {number} is no event; {EXPECTED}")
    if line.get("schema", SCHEMA) != SCHEMA:
        raise EventsRefused(
            f"{file}: line {number} is of schema {str(line['schema'])[:20]}: expected {SCHEMA}; read it with the "
            "version of Watchline that the header names"
        )
    return line
