"""Settings of stages, sources and sinks: frozen, checked field by field; unknown settings are refused.

    @settings
    class Blur:
        strength: int = Field(default=3, ge=1, description="side of the filter in pixels")

    Blur(strenght=5)        # SettingsError: Blur: unknown setting 'strenght': did you mean 'strength'?

Any folder may import this file.
"""

import dataclasses
from collections.abc import Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, JsonValue, ValidationError

from watchline.errors import SettingsError, unknown

Kind = TypeVar("Kind", bound=type)

LONGEST = 60  # characters of a value in an error
MOST_THREADS = 64  # of anything that a setting counts: more are a mistake, or an attack
Threads = Annotated[int, Field(ge=1, le=MOST_THREADS)]


def flag(metavar: str = "", name: str = "") -> dict[str, JsonValue]:
    """Marks a field as a flag of the command line: `Field(…, description="…", json_schema_extra=flag("N"))`.

    Args:
        metavar: what its value is called.
        name: of the flag, if it is not the field's. Such a flag puts a stage into the chain, and needs no value then.
    """
    return {"flag": metavar, "name": name}


@dataclass_transform(frozen_default=True, field_specifiers=(Field, dataclasses.field))
def settings(kind: Kind) -> Kind:
    """Make a class of annotated fields a pydantic dataclass. Its `__pydantic_config__` may configure pydantic.

    The constructor raises SettingsError, which names all mistakes.
    """
    config: ConfigDict = getattr(kind, "__pydantic_config__", ConfigDict())
    kind.__pydantic_config__ = config | ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    made: Kind = pydantic.dataclasses.dataclass(frozen=True)(kind)  # type: ignore[assignment]
    return closed(made)


def closed(kind: Kind) -> Kind:
    """Make a dataclass refuse unknown settings, and values that are not valid, with a SettingsError."""
    construct: Any = kind.__init__  # type: ignore[misc]
    known = [field.name for field in dataclasses.fields(kind) if field.init] + _aliases(kind)

    @wraps(construct)
    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        wrong = [unknown("setting", name, known) for name in given if name not in known]
        if wrong:
            raise SettingsError(kind.__name__, wrong)
        try:
            construct(self, *args, **given)
        except ValidationError as error:
            raise SettingsError(kind.__name__, _mistakes(error, given)) from None

    kind.__init__ = __init__  # type: ignore[misc]
    return kind


def _aliases(kind: type) -> list[str]:
    """What fields are called that have a name which Python keeps for itself."""
    infos = getattr(kind, "__pydantic_fields__", {}).values()
    return [info.validation_alias for info in infos if isinstance(info.validation_alias, str)]


def _mistakes(error: ValidationError, given: Mapping[str, object]) -> list[str]:
    """A line for each setting: what it must be, or a rule over several of them."""
    expected: dict[str, list[str]] = {}
    rules = []
    for each in error.errors():
        said = each["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not each["loc"]:
            rules.append(said)
        elif each["type"] != "default_factory_not_called":  # it follows from another mistake
            expected.setdefault(str(each["loc"][0]), []).append(said)
    return [f"{name}{_got(name, given)}: expected {' or '.join(said)}" for name, said in expected.items()] + rules


def _got(name: str, given: Mapping[str, object]) -> str:
    """What it is; not of an address, which may have a password in it."""
    value = repr(given.get(name, "@"))
    return "" if "@" in value else f" is {value[:LONGEST]}"
