"""Whose detections are judged: those of a model, of a pipeline's stages, or predictions that were saved.

with of_stages("yolov2-lite0", [Detector()]).open() as judged:
    found = judged.find(picture)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from watchline.errors import WatchlineError
from watchline.measure import predictions
from watchline.measure.errors import DataRefused
from watchline.measure.layouts.labelled import Labelled, names_of
from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError, one_line
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.stages.stage import Stage, Work, checked, work_of
from watchline.streams.frame import Frame
from watchline.streams.source import About

STREAM = "measure"


@dataclass(frozen=True, slots=True)
class Finder:
    """Attributes:
    find: what is found in a picture.
    about: what runs, as the header of events has it: `model` and `config`.
    """

    find: Callable[[Labelled], Detections]
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """Attributes:
    name: as it is told from the others.
    open: loads it; raises what its stages' `open` raises, or DataRefused.
    suppression: of two boxes of a class that overlap more, the better one stays.
    """

    name: str
    open: Callable[[], AbstractContextManager[Finder]]
    suppression: float


def of_stages(name: str, stages: Sequence[Stage]) -> Contender:
    """The stages that find and change detections, one picture after another: every picture is looked at.

    Args:
        stages: of a chain, in its order. Those of ours that give no detections are left out; a detector among them
            looks at every picture, whatever its `every` says.
    """
    kept = [stage for stage in stages if DETECTIONS in stage.gives or type(stage) not in STAGES]
    kept = [replace(s, every=1, workers=1, streams={}) if isinstance(s, Detector) else s for s in kept]
    suppression = next((stage.iou for stage in kept if isinstance(stage, Detector)), Detector().iou)
    return Contender(name, lambda: _opened(kept), suppression)


def of_predictions(name: str, file: Path, suppression: float) -> Contender:
    """What was saved. Raises what `predictions.read` raises; its `find` raises DataRefused: a picture is not there."""
    found = predictions.read(file)
    labels = next(iter(found.values())).labels

    def find(picture: Labelled) -> Detections:
        mine = found.get(picture.name, found.get(names_of([PurePath(picture.name)])[0]))  # alone, it has no suffix
        if mine is None:
            raise DataRefused(
                f"{file} has no line for {picture.name}: expected one for each picture that is measured; choose those "
                "with --split and --every"
            )
        return mine

    return Contender(
        name, lambda: nullcontext(Finder(find, {"model": {"name": file.name, "labels": list(labels)}})), suppression
    )


def _done(stage: Stage, work: Work, item: Item, name: str) -> Item:
    """What a stage makes of a picture. Raises StageError: it failed; what a model's runtime raises stays as it is."""
    try:
        [done] = checked(stage, [item], work([item]))
    except WatchlineError:
        raise
    except Exception as error:  # whatever is wrong with a stage of one's own
        raise StageError(f"{stage.name} failed at {name}: {one_line(error)}") from error
    return done


@contextmanager
def _opened(stages: Sequence[Stage]) -> Iterator[Finder]:
    with ExitStack() as stack:
        works = [work_of(stack.enter_context(stage.open())) for stage in stages]
        seen = 0

        def find(picture: Labelled) -> Detections:
            nonlocal seen
            pixels = picture.picture
            if not seen:
                about = About(STREAM, pixels.width, pixels.height, Fraction(1))
                for stage, work in zip(stages, works, strict=True):
                    if stage.order == "stream":
                        work.begin(STREAM, about, None)
            item = Item(Frame(STREAM, seen, seen, Fraction(1), pixels))
            for stage, work in zip(stages, works, strict=True):
                item = _done(stage, work, item, picture.name)
            seen += 1
            if item.detections is None:
                raise DataRefused(f"the stages gave no detections for {picture.name}: expected some for each picture")
            return item.detections

        about: dict[str, Any] = {}
        for stage, work in zip(stages, works, strict=True):
            if isinstance(stage, Detector):
                about = {**work.about, "config": dict(stage.recorded())}
        yield Finder(find, about)
