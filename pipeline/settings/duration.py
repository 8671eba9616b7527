"""Times as people write them: `500ms`, `45s`, `10m`, `1h30m`, `7d`; what a bare number is, each setting says."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_N = r"(\d+(?:\.\d+)?)\s*"
_PARTS = re.compile(rf"(?:{_N}d\s*)?(?:{_N}h\s*)?(?:{_N}m\s*)?(?:(?:{_N}s\s*)?(?:{_N}ms)?|{_N})")
_UNITS = (86_400, 3_600, 60, 1, 0.001, 1)


def seconds(text: str) -> float:
    """The seconds that `text` stands for, of days down to milliseconds in this order; a bare number is seconds.

    Raises:
        ValueError: it is no time above zero.
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


Seconds = Annotated[float, BeforeValidator(_in_seconds)]
"""A setting of seconds that takes words as well: 10, "10s", "0.5h"."""

Milliseconds = Annotated[float, BeforeValidator(_in_milliseconds)]
"""A setting of milliseconds that takes words as well: 500, "500", "500ms", "0.5s"."""
