"""Times as people write them: `45s`, `10m`, `1h30m`; a bare number is seconds."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_UNITS = (86_400, 3_600, 60, 1)


def seconds(text: str) -> float:
    """The seconds that `text` stands for.

    Raises:
        ValueError: it is no time above zero.
    """
    found = _PARTS.fullmatch(text.strip().lower())
    total = sum(float(n) * unit for n, unit in zip(found.groups(), _UNITS, strict=True) if n) if found else 0.0
    if not total:
        raise ValueError("a time, e.g. 45s, 10m or 1h30m")
    return total


def _checked(given: Any) -> Any:
    if isinstance(given, bool | int | float):
        given = str(given)
    return seconds(given) if isinstance(given, str) else given


Duration = Annotated[float, BeforeValidator(_checked)]
"""A setting of seconds that takes `seconds`' words as well."""
