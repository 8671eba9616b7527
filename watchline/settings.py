"""Settings of stages, sources and sinks: frozen, checked field by field, and nothing is taken that nobody knows.

    @settings
    class Blur:
        strength: int = Field(default=3, ge=1, description="side of the filter in pixels")

    Blur(strenght=5)        # SettingsError: Blur: unknown setting 'strenght': did you mean 'strength'?

Any folder may import this file.
"""

import dataclasses
from functools import wraps
from typing import Any, TypeVar, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field

from watchline.errors import SettingsError, unknown

Kind = TypeVar("Kind", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def settings(kind: Kind) -> Kind:
    """Makes a class of annotated fields a pydantic dataclass. `__pydantic_config__` in it may say more of pydantic.

    Its constructor raises SettingsError: a setting that there is not; pydantic's ValidationError: a value that cannot
    be. Both are ValueErrors.
    """
    said: ConfigDict = getattr(kind, "__pydantic_config__", ConfigDict())
    kind.__pydantic_config__ = said | ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    made: Kind = pydantic.dataclasses.dataclass(frozen=True)(kind)  # type: ignore[assignment]
    return closed(made)


def closed(kind: Kind) -> Kind:
    """Makes a dataclass refuse settings that it does not have in our words."""
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
