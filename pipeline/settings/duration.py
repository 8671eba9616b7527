"""Times as people write them: `500ms`, `45s`, `10m`, `1h30m`, `7d`; what a bare number is, each setting says."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

_N = r"(\d+(?:\.\d+)?)\s*"
_PARTS = re.compile(rf"(?:{_N}d\s*)?(?:{_N}h\s*)?(?:{_N}m\s*)?(?:(?:{_N}s\s*)?(?:{_N}ms)?|{_N})")
_UNITS = (86_400, 3_600, 60, 1, 0.001, 1)


def seconds(text: str) -> float:
    """The seconds that `text` stands for, of days down to milliseconds in this order; a bare number is seconds.

    Raises:
        ValueError: it is not a time above zero.
    """
    found = _PARTS.fullmatch(text.strip().lower())
    total = sum(float(n) * unit for n, unit in zip(found.groups(), _UNITS, strict=True) if n) if found else 0.0
    if not total:
        raise ValueError("a time, e.g. 45s, 10m or 1h30m")
    return total


def _in_seconds(given: Any) -> Any:
    if isinstance(given, bool | int | float):
        given = str(given)
    return seconds(given) if isinstance(given, str) else given


def _in_milliseconds(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        is_bare = given.strip().replace(".", "", 1).isdecimal()
        return seconds(f"{given}ms" if is_bare else given) * 1000
    except ValueError:
        raise ValueError("a time, e.g. 500ms or 2s") from None


def text_of(value: float, unit: float) -> str:
    """A time as people write it, e.g. 3600 in seconds as `1h`. Args: unit, seconds of which `value` counts."""
    left = value * unit
    parts = ""
    for word, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1), ("ms", 0.001)):
        count = int(left / size + 1e-9)
        parts += f"{count}{word}" if count else ""
        left -= count * size
    return parts


def unit_of(info: FieldInfo) -> float | None:
    """The seconds that a bare number of a field stands for; None where it is not a time."""
    units = {_in_seconds: 1.0, _in_milliseconds: 0.001}
    return next((units[each.func] for each in info.metadata if getattr(each, "func", None) in units), None)


Seconds = Annotated[float, BeforeValidator(_in_seconds)]
"""A setting of seconds that takes words as well: 10, "10s", "0.5h"."""

Milliseconds = Annotated[float, BeforeValidator(_in_milliseconds)]
"""A setting of milliseconds that takes words as well: 500, "500", "500ms", "0.5s"."""
