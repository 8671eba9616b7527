"""A stage's fields as a schema: what each takes, and one line in plain words for a value that cannot be."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from watchline.errors import one_of
from watchline.pipeline.settings.environment import Interpolated

REQUIRED = object()

# pydantic's kinds of error in our words; what follows "must be"
_WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_type": "text",
    "too_long": "a list of at most {max_length} values",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class FieldOfStage:
    """One field. default: its default, REQUIRED if it has none; adapter: checks a value; in_table: whether it may stand
    in a table of the config, as all do but those that are for keywords only.
    """

    default: Any
    description: str
    adapter: TypeAdapter[Any]
    in_table: bool = True


@dataclass(frozen=True)
class Checked:
    """A value as the stage takes it, or what is wrong with it: `must be at most 1 (default 0.25)`."""

    value: Any
    mistake: str = ""


def fields_of(kind: type) -> Mapping[str, FieldOfStage]:
    """The fields of a pydantic dataclass, in their order, as they are called in a config."""
    any_class: Any = kind
    return _fields_of(any_class)


@cache
def _fields_of(stage: Any) -> Mapping[str, FieldOfStage]:
    infos: dict[str, FieldInfo] = stage.__pydantic_fields__
    return {str(info.validation_alias or name): _field(info) for name, info in infos.items() if info.init is not False}


def check_field(field: FieldOfStage, given: Interpolated) -> Checked:
    """Check a value of the config. Types are strict, but for text that came from the environment."""
    try:
        # JSON knows no tuples, so lists may stand for them even where types are strict.
        text = json.dumps(given.value, default=str, ensure_ascii=False)
        try:
            return Checked(field.adapter.validate_json(text.encode(), strict=not given.changed))
        except UnicodeEncodeError:  # a file's name that is no UTF-8: no number is taken for it
            return Checked(field.adapter.validate_python(given.value))
    except ValidationError as error:
        return Checked(None, _mistake(field, given, error.errors()))


def _field(info: FieldInfo) -> FieldOfStage:
    default = info.get_default(call_default_factory=True, validated_data={})
    kind: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return FieldOfStage(
        REQUIRED if default is PydanticUndefined else default,
        info.description or "a value",
        TypeAdapter(kind),
        not info.kw_only,
    )


def _mistake(field: FieldOfStage, given: Interpolated, errors: list[ErrorDetails]) -> str:
    """All that a field would have taken, in one line."""
    phrases = list(dict.fromkeys(_phrase(error, given) for error in errors))
    default = "" if field.default in (REQUIRED, None, ()) else f" (default {_as_toml(field.default)})"
    return f"must be {' or '.join(phrases)}{default}"


def _phrase(error: ErrorDetails, given: Interpolated) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return one_of(str(given.value), options)
    place = next((part + 1 for part in error["loc"] if isinstance(part, int)), None)
    if kind == "missing":
        return f"a list of at least {place} values"
    words = _WORDS.get(kind)
    said = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    phrase = words.format(**context) if words else said
    return f"a list with {phrase} in place {place}" if place else phrase


def _as_toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
