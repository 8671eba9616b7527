"""Settings of stages, sources and sinks: frozen, checked field by field; unknown settings are refused.

    @settings
    class Blur:
        strength: int = Field(default=3, ge=1, description="side of the filter in pixels")

    Blur(strenght=5)        # SettingsError: Blur: unknown setting 'strenght': did you mean 'strength'?

Any folder may import this file.
"""

import dataclasses
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, JsonValue

from watchline.errors import SettingsError, unknown

Kind = TypeVar("Kind", bound=type)

MOST_THREADS = 64  # of anything that a setting counts: more are a mistake, or an attack
Threads = Annotated[int, Field(ge=1, le=MOST_THREADS)]


def flag(metavar: str = "") -> dict[str, JsonValue]:
    """Marks a field as a flag of the command line: `Field(…, description="…", json_schema_extra=flag("N"))`."""
    return {"flag": metavar}


@dataclass_transform(frozen_default=True, field_specifiers=(Field, dataclasses.field))
def settings(kind: Kind) -> Kind:
    """Make a class of annotated fields a pydantic dataclass. Its `__pydantic_config__` may configure pydantic.

    The constructor raises SettingsError for an unknown setting, and pydantic's ValidationError for a value that is not
    valid. Both are ValueErrors.
    """
    config: ConfigDict = getattr(kind, "__pydantic_config__", ConfigDict())
    kind.__pydantic_config__ = config | ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    made: Kind = pydantic.dataclasses.dataclass(frozen=True)(kind)  # type: ignore[assignment]
    return closed(made)


def closed(kind: Kind) -> Kind:
    """Make a dataclass refuse unknown settings with a SettingsError."""
    construct: Any = kind.__init__  # type: ignore[misc]
    known = [field.name for field in dataclasses.fields(kind) if field.init]

    @wraps(construct)
    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        wrong = [unknown("setting", name, known) for name in given if name not in known]
        if wrong:
            raise SettingsError(f"{kind.__name__}: {'; '.join(wrong)}")
        construct(self, *args, **given)

    kind.__init__ = __init__  # type: ignore[misc]
    return kind
