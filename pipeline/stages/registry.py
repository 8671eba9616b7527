"""Stages by name, so that another process or host can make them: `detector`, or `module:Class` for one of your own."""

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from watchline.errors import unknown
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.environment import Interpolated
from watchline.pipeline.settings.schema import check_field, fields_of
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage

STAGES: Mapping[str, type] = {"detector": Detector, "annotator": Annotator}


def name_of(stage: Stage) -> str:
    """How the other side finds a stage's class: `detector`, or `module:Class` for one of your own.

    Raises:
        ConfigError: it cannot be found there.
    """
    kind = type(stage)
    for name, known in STAGES.items():
        if kind is known:
            return name
    if kind.__module__ == "__main__" or "." in kind.__qualname__ or not hasattr(kind, "__pydantic_fields__"):
        raise ConfigError(
            f"the stage {stage.name} cannot be placed elsewhere: expected a pydantic dataclass in a module that the "
            "other side can import, not in the program itself"
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def kind_of(name: str) -> type:
    """The class of a stage by its `name_of`; a module of your own is imported.

    Raises:
        ConfigError: there is none.
    """
    module, colon, kind = name.partition(":")
    if not colon:
        if name not in STAGES:
            raise ConfigError(f"{unknown('stage', name, STAGES)}; MODULE:CLASS is one of your own")
        return STAGES[name]
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no stage {name!r} ({error}): expected MODULE:CLASS that can be imported here") from None
    if not isinstance(found, type) or not hasattr(found, "__pydantic_fields__"):
        raise ConfigError(f"{name!r} is no stage: expected a class that is a pydantic dataclass, with open()")
    return found


def is_shared(kind: type) -> bool:
    """Whether workers of a stage may serve several hubs: it has a setting for how many, so no frame needs another."""
    return "workers" in fields_of(kind)


def build(kind: type, settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> Stage:
    """A stage from settings that another process says.

    Raises:
        ConfigError: there are mistakes in them; they are named in one line.
    """
    fields = fields_of(kind)
    mistakes = [unknown("setting", key, fields) for key in settings if key not in fields]
    values = {}
    for key, value in settings.items():
        if key in fields:
            checked = check_field(fields[key], Interpolated(value))
            mistakes += [f"{key} {checked.mistake}"] if checked.mistake else []
            values[key] = checked.value
    if not mistakes:
        try:
            stage: Stage = kind(**{**values, **overrides})
            return stage
        except ValidationError as error:
            mistakes = [f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors()]
    raise ConfigError("; ".join(mistakes))


def settings_of(stage: Stage) -> dict[str, Any]:
    """The settings of a stage as JSON has them; `build` makes it again."""
    settings: dict[str, Any] = TypeAdapter(type(stage)).dump_python(stage, mode="json")
    return settings
