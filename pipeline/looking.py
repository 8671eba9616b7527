"""A stage as a loop of Python: frames in, frames with what it gave out, the stages in threads of their own."""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from watchline.pipeline.errors import ConfigError, NoStage, StageError
from watchline.pipeline.message import Begin, Failure, Item, State
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.frame import Frame
from watchline.streams.source import LiveSource, Source

log = logging.getLogger(__name__)

R = TypeVar("R")
S = TypeVar("S", bound=Stage)


def checked_budget(latency_budget: float) -> float:
    """Raises ConfigError: it is not a time."""
    if not latency_budget > 0:
        raise ConfigError(f"latency_budget is {latency_budget}: expected more than 0 seconds")
    return latency_budget


def stage_of(kind: type[S], given: S | None, settings: Mapping[str, Any]) -> S:
    """The stage that was given, or one with these settings.

    Raises:
        NoStage: it is another thing, or there are settings beside it.
        SettingsError: a setting cannot be.
    """
    if given is None:
        own: dict[str, Any] = {name: str(v) if isinstance(v, Path) else v for name, v in settings.items()}
        return kind(**own)
    if not isinstance(given, kind):
        raise NoStage(
            f"{kind.name} is of type {type(given).__name__}: expected a {kind.__name__}, or settings by name (model=…)"
        )
    if settings:
        raise NoStage(
            f"{kind.name} and {', '.join(settings)}: expected either a {kind.__name__} or its settings by name"
        )
    return given


def finder_of(objects: Sequence[str], detector: Detector | None) -> list[Detector]:
    """The detector that finds the objects a stage looks at; none if it looks at whole pictures.

    Raises:
        NoStage: a detector was given that nobody needs, or something else.
    """
    if not objects and detector is not None:
        raise NoStage("a detector is for objects: name their classes, e.g. objects=['person']")
    return [stage_of(Detector, detector, {})] if objects else []


def looked_at(
    sources: Sequence[Source | LiveSource],
    stages: Sequence[Stage],
    result_of: Callable[[Item], R | None],
    latency_budget: float,
) -> Generator[tuple[Frame, R]]:
    """The frames that have a result, in order. Leaving the loop ends the threads.

    Raises:
        StageError: a file or a stage broke, or none of the cameras can be opened in the beginning.
    """
    silent = {source.stream: "" for source in sources}  # why nothing has come of it yet
    said: dict[str, str | None] = {}  # why a stream is not read, as the log has it
    with closing(Runner(stages, latency_budget=latency_budget).run(sources)) as messages:
        for message in messages:
            match message:
                case Item(frame=frame):
                    said.pop(frame.stream, None)
                    result = result_of(message)
                    if result is not None:
                        yield frame, result
                case Begin():
                    silent = {}
                case State(stream=stream, state="retrying", why=why, retry_in=wait):
                    if stream in silent:
                        silent[stream] = f"{stream}: {why}"
                        if all(silent.values()):
                            raise StageError("; ".join(silent.values()))
                    if said.get(stream) != why:
                        said[stream] = why
                        log.warning("%s: %s; it is tried again in %.0f s", stream, why, wait)
                case Failure(stream=stream, where=where, why=why):
                    raise StageError(f"{stream}: {where}: {why}")
