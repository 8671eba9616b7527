"""Options that stand for settings, from their fields: `python tests/option_list.py` writes watchline/cli/options.py."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from watchline.pipeline.config import Run
from watchline.pipeline.settings.duration import text_of, unit_of
from watchline.pipeline.settings.schema import REQUIRED, fields_of
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.streams import Stream
from watchline.streams.write.mp4 import Mp4Sink

FILE = Path(__file__).parents[1] / "watchline" / "cli" / "options.py"
TABLES: dict[str, type] = {**{stage.name: stage for stage in STAGES}, "video": Mp4Sink, "": Run, "streams": Stream}
HEAD = '''"""Options that stand for settings. `python tests/option_list.py` makes this file from fields that are marked.

(Help starts at once: it cannot ask the fields, which load what they are checked with.)
"""

from typing import NamedTuple


class Option(NamedTuple):
    """An option: the table and key of its setting, how its word is read ("switch" has none), and its help.

    One with a `default` may stand without a word, and means the default then: it puts a stage into the chain.
    """

    name: str
    table: str
    key: str
    kind: str
    metavar: str
    help: str
    least: int = 0
    most: int | None = None
    default: str = ""


'''


def options() -> Iterator[tuple[object, ...]]:
    """Table after table, in the order of the fields. What several stages have is the detector's, as the first."""
    names: set[str] = set()
    for table, kind in TABLES.items():
        infos = kind.__pydantic_fields__
        for key, field in fields_of(kind).items():
            extra = infos[key].json_schema_extra
            if not isinstance(extra, dict) or "flag" not in extra:
                continue
            name = extra["name"] or key.replace("_", "-")
            if name not in names:
                names.add(name)
                shape, limits = shape_of(field.adapter) if unit_of(infos[key]) is None else ("text", ())
                default = (0, None, default_of(kind, key)) if extra["name"] else ()
                yield name, table, key, shape, extra["flag"], help_of(kind, key), *(default or limits)


def shape_of(adapter: TypeAdapter[Any]) -> tuple[str, tuple[int, ...]]:
    """How a word is read, and the limits of a whole number."""
    schema = adapter.json_schema()
    parts = {part.get("type", ""): part for part in schema.get("anyOf", [schema])}
    limits = tuple(parts["integer"][end] for end in ("minimum", "maximum") if end in parts.get("integer", ()))
    if "boolean" in parts:
        return "switch", ()
    if "array" in parts:
        return ("size" if "integer" in parts else "words"), ()
    if "integer" in parts:
        return "whole", limits
    return ("number" if "number" in parts else "text"), ()


def help_of(kind: type, key: str) -> str:
    field = fields_of(kind)[key]
    if field.default in (REQUIRED, None, (), "", False, 1) or kind.__pydantic_fields__[key].default_factory:
        return field.description
    return f"{field.description} (default: {default_of(kind, key)})"


def default_of(kind: type, key: str) -> object:
    """As one types it."""
    default, unit = fields_of(kind)[key].default, unit_of(kind.__pydantic_fields__[key])
    return text_of(default, unit) if unit else default


def module() -> str:
    """The file as it should be."""
    lines = "".join(f"    Option({', '.join(map(repr, option))}),\n" for option in options())
    return f"{HEAD}OPTIONS = (\n{lines})\n"


if __name__ == "__main__":
    FILE.write_text(module())
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", FILE], check=True)
