"""The stages, in the order of the chain. Config tables, `--place`, `watchline stage`, `check`, the report and the
header of the events read this list; a stage of ours is one file and one line here.

A stage of your own is named `module:Class`; the module is found as Python finds it, and in the folder the program runs
in. It runs before the annotator.
"""

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from watchline.errors import SettingsError, unknown
from watchline.pipeline.errors import ConfigError, one_line
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.settings.environment import Interpolated
from watchline.pipeline.settings.schema import check_field, fields_of
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.asker import Asker
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.lines import Lines
from watchline.pipeline.stages.motion import Motion
from watchline.pipeline.stages.segmenter import Segmenter
from watchline.pipeline.stages.speed import Speed
from watchline.pipeline.stages.stage import Stage, StageInfo
from watchline.pipeline.stages.tracker import Tracker
from watchline.pipeline.stages.zones import Zones

STAGES: tuple[type[Stage], ...] = (
    Motion,
    Detector,
    Tracker,
    Zones,
    Lines,
    Speed,
    Segmenter,
    Captioner,
    Asker,
    Annotator,
)
BY_NAME: Mapping[str, type[Stage]] = {stage.name: stage for stage in STAGES}
OUR_EVENTS = ("state", "dropped")  # that are no stage's


def chain_of(stages: Sequence[Stage]) -> list[Stage]:
    """Stages in the order of the chain: ours as STAGES has them, others in their own order before the annotator."""
    places = {stage: n for n, stage in enumerate(STAGES)}
    before = places[Annotator] - 0.5
    return sorted(stages, key=lambda stage: places.get(type(stage), before))


def name_of(stage: Stage) -> str:
    """How another process finds a stage's class: `detector`, or `module:Class` for one of your own.

    Raises:
        ConfigError: it cannot be found there.
    """
    kind = type(stage)
    if BY_NAME.get(stage.name) is kind:
        return stage.name
    if kind.__module__ == "__main__" or "." in kind.__qualname__ or not hasattr(kind, "__pydantic_fields__"):
        raise ConfigError(
            f"the stage {stage.name} cannot be placed elsewhere: expected a class with @settings in a module that the "
            "other side can import, not in the program itself"
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def kind_of(name: str) -> type[Stage]:
    """The class of a stage by its `name_of`; a module of your own is imported.

    Raises:
        ConfigError: there is none.
    """
    if ":" not in name:
        if name not in BY_NAME:
            raise ConfigError(f"{unknown('stage', name, BY_NAME)}; MODULE:CLASS is one of your own")
        return BY_NAME[name]
    kind: type[Stage] = imported(name, Stage)
    return kind


def imported(name: str, base: type) -> Any:
    """The class `module:Class` of your own, below `base`.

    Raises:
        ConfigError: there is none.
    """
    module, _, kind = name.partition(":")
    what = base.__name__.lower()
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), kind)
    except Exception as error:  # whatever is wrong with the module
        raise ConfigError(
            f"no {what} {name!r} ({one_line(error)}): expected MODULE:CLASS that can be imported here"
        ) from error
    if not isinstance(found, type) or not issubclass(found, base) or "__pydantic_fields__" not in vars(found):
        raise ConfigError(f"{name!r} is not a {what}: expected a class below watchline.{base.__name__}, with @settings")
    if not hasattr(found, "name"):
        raise ConfigError(f'{name!r} has no name: expected `name = "a_word"` in the class')
    return found


def kinds_of(stages: Iterable[StageInfo | type[StageInfo]]) -> dict[str, Kind[Any]]:
    """The kinds of results that stages, or classes of stages, give, by key.

    Raises:
        ConfigError: two different kinds have the same key.
    """
    kinds: dict[str, Kind[Any]] = {}
    for stage in stages:
        for kind in stage.gives:
            if kinds.setdefault(kind.key, kind) is not kind:
                raise ConfigError(f"{stage.name} gives {kind.key!r}, and so does another stage: name them apart")
    return kinds


def events_of(stages: Iterable[StageInfo | type[StageInfo]]) -> dict[str, Mapping[str, Any]]:
    """The events that stages, or classes of stages, emit: the JSON Schema of the data of each, by name.

    Raises:
        ConfigError: two of them mean different ones by one name, or one means what is ours.
    """
    events: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        for name, data in stage.emits.items():
            if name in OUR_EVENTS:
                raise ConfigError(f"{stage.name} emits {name!r}, which says how a stream stands: name it otherwise")
            if events.setdefault(name, data) != data:
                raise ConfigError(f"{stage.name} emits {name!r}, and so does another stage: name them apart")
    return events


def build(kind: type[Stage], settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> Stage:
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
            return kind(**{**values, **overrides})
        except SettingsError as error:
            mistakes += error.mistakes
    raise ConfigError("; ".join(mistakes))


def settings_of(stage: Stage) -> dict[str, Any]:
    """The settings of a stage as JSON has them; `build` makes it again."""
    settings: dict[str, Any] = TypeAdapter(type(stage)).dump_python(stage, mode="json")
    return settings
