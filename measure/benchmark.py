"""How good detections are on labelled pictures: one or several models, by a rule, with intervals.

    data = open_data(Path("VOC2012"))
    result = benchmark(data, [of_stages("a.onnx", [Detector(model="a.onnx", conf=CONF)])], Counting("voc2010"))
    result.outcomes[0].boxes.table[MEAN]["AP"], result.outcomes[0].boxes.intervals[MEAN]["AP"]

So letterbox, runtime, decoding and suppression are part of what is measured, as they are part of what users get.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from watchline.errors import unknown
from watchline.measure import bootstrap
from watchline.measure.answers import Answers, answers_of, listed, numbered, numbered_truth
from watchline.measure.bootstrap import Figures
from watchline.measure.contenders import Contender
from watchline.measure.errors import DataRefused
from watchline.measure.layouts.labelled import NO_PIXELS, DataSet, Labelled
from watchline.measure.scores import MeasuredBy, scorer
from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks

Progress = Callable[[int, int], object]
"""Called after each picture: how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How detections are counted.

    Attributes:
        rule: one of `scores.RULES`.
        threshold: IoU from which a box is right, by VOC's rules and ILSVRC's.
        classes: of the data set or labels of a model, to measure; without any, all that all models know.
        same: labels that stand for some classes of the data set, instead of those of the same name.
        samples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.
    """

    rule: MeasuredBy
    threshold: float = 0.5
    classes: Sequence[str] = ()
    same: Answers = field(default_factory=dict)
    samples: int = bootstrap.SAMPLES
    seed: int = bootstrap.SEED


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one contender.

    Attributes:
        name: of the contender.
        about: what ran, as the header of events has it.
        boxes: the figures of its boxes.
        masks: of its masks, by COCO's rule, where the data set and the model have some; else None.
        found: of each picture, with the numbers of `Benchmark.names`; others are beyond.
        detections: of each picture, as they were found.
        seconds: that detecting took.
    """

    name: str
    about: Mapping[str, Any]
    boxes: Figures
    masks: Figures | None
    found: Sequence[Predictions]
    detections: Sequence[Detections]
    seconds: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured, and on what.

    Attributes:
        data: what was read.
        counting: how it was counted.
        pictures: their names.
        names: of the classes that were measured, in the order of their numbers.
        objects: by class, how many count: those that are not difficult; by ILSVRC's rule, how many pictures.
        unknown: classes of the data set for which some model has no label; they are left out.
        truth: of each picture, with the numbers of `names`.
        outcomes: of each contender, in their order.
    """

    data: DataSet
    counting: Counting
    pictures: Sequence[str]
    names: tuple[str, ...]
    objects: Mapping[str, int]
    unknown: tuple[str, ...]
    truth: Sequence[Truth]
    outcomes: Sequence[Outcome]


def benchmark(
    data: DataSet, contenders: Sequence[Contender], counting: Counting, progress: Progress | None = None
) -> Benchmark:
    """Have each contender look at each picture, and judge what it finds.

    Args:
        contenders: one or more; all see the same pictures.

    Raises:
        MeasureError, SourceUnreadable: the data is broken, or data and models have no class in common.
        EngineError, ConfigError: a model does not load or does not run.
    """
    seen = _looked(data, contenders, counting.rule == "coco", progress)
    there = sorted({name for picture in seen.pictures for name in picture.names})
    _check_classes(counting, there, seen.found)
    every_answer = [answers_of(there, found[0].labels, counting.same) for found in seen.found]
    known = [name for name in there if all(name in answers for answers in every_answer)]
    asked = [name for name in known if not counting.classes or _is_asked(name, every_answer, counting.classes)]
    if not asked:
        raise DataRefused(_nothing_in_common(data, there, counting, [found[0].labels for found in seen.found]))
    every_answer = [{name: answers[name] for name in asked} for answers in every_answer]
    truth = [numbered_truth(one, every_answer[0], masks) for one, masks in zip(seen.pictures, seen.masks, strict=True)]
    predictions = [
        [numbered(one, answers, contender.suppression) for one in found]
        for found, answers, contender in zip(seen.found, every_answer, contenders, strict=True)
    ]
    boxes = _figures(predictions, truth, asked, counting, data.is_video)
    masked = [n for n, found in enumerate(seen.found) if _has_masks(found, truth)]
    masks = dict(
        zip(
            masked,
            _figures([predictions[n] for n in masked], truth, asked, counting, data.is_video, by_masks=True),
            strict=True,
        )
    )
    counted = [t.classes[~t.difficult] for t in truth]
    if counting.rule == "ilsvrc":
        counted = [np.unique(t.classes) for t in truth if len(np.unique(t.classes)) == 1]
    counts = np.bincount(np.concatenate([np.empty(0, np.int64), *counted]), minlength=len(asked))
    return Benchmark(
        data=data,
        counting=counting,
        pictures=[picture.name for picture in seen.pictures],
        names=tuple(asked),
        objects=dict(zip(asked, counts.tolist(), strict=True)),
        unknown=tuple(name for name in there if name not in known),
        truth=truth,
        outcomes=[
            Outcome(one.name, seen.abouts[n], boxes[n], masks.get(n), predictions[n], seen.found[n], seen.seconds[n])
            for n, one in enumerate(contenders)
        ],
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Pictures without their pixels, with their masks where these are judged; and of each contender, what it found."""

    pictures: list[Labelled]
    masks: list[Masks | None]
    found: list[list[Detections]]
    abouts: list[Mapping[str, Any]]
    seconds: list[float]


def _looked(data: DataSet, contenders: Sequence[Contender], with_masks: bool, progress: Progress | None) -> _Seen:
    seen = _Seen([], [], [[] for _ in contenders], [], [0.0 for _ in contenders])
    with ExitStack() as stack:
        finders = [stack.enter_context(contender.open()) for contender in contenders]
        seen.abouts.extend(finder.about for finder in finders)
        for picture in data.read():
            for n, finder in enumerate(finders):
                began = time.monotonic()
                seen.found[n].append(finder.find(picture))
                seen.seconds[n] += time.monotonic() - began
            is_masked = with_masks and any(found[-1].masks is not None for found in seen.found)
            seen.masks.append(picture.masks() if is_masked and picture.masks else None)
            seen.pictures.append(replace(picture, picture=NO_PIXELS, masks=None))
            if progress:
                progress(len(seen.pictures), max(data.count, len(seen.pictures)))
    if not seen.pictures:
        raise DataRefused(f"{data.name}: its {data.split} has no pictures; expected some that are labelled")
    return seen


def _figures(
    predictions: Sequence[Sequence[Predictions]],
    truth: Sequence[Truth],
    names: Sequence[str],
    counting: Counting,
    is_video: bool,
    by_masks: bool = False,
) -> list[Figures]:
    """Of each contender."""
    scorers = [scorer(counting.rule, one, truth, names, counting.threshold, by_masks) for one in predictions]
    return bootstrap.figures(scorers, len(truth), counting.samples, counting.seed, is_video)


def _has_masks(found: Sequence[Detections], truth: Sequence[Truth]) -> bool:
    """Whether all that was found has masks, and all truths have: only then they were read."""
    masked = [one.masks is not None for one in found if len(one)]
    return any(masked) and all(masked) and all(one.masks is not None for one in truth)


def _check_classes(counting: Counting, there: Sequence[str], every_found: Sequence[Sequence[Detections]]) -> None:
    """Raises DataRefused: there is no such class, in the data or in a model."""
    labels = [label for found in every_found for label in found[0].labels]
    if wrong := next((name for name in counting.same if name not in there), None):
        raise DataRefused(f"the data: {unknown('class', wrong, there)}")
    asked = [*counting.classes, *(label for own in counting.same.values() for label in own)]
    known = list(dict.fromkeys([*labels, *there]))
    if wrong := next((name for name in asked if name not in known), None):
        raise DataRefused(unknown("class", wrong, known))


def _is_asked(name: str, every_answer: Sequence[Answers], classes: Sequence[str]) -> bool:
    """By its own name, or by that of a label that stands for it."""
    return name in classes or any(label in classes for answers in every_answer for label in answers[name])


def _nothing_in_common(
    data: DataSet, there: Sequence[str], counting: Counting, labels: Sequence[tuple[str, ...]]
) -> str:
    has = " and ".join(listed(counting.classes or one) for one in labels)
    return (
        f"{data.name}: its {data.split} has {listed(there)}, and none of these is asked for; the model has {has}; "
        "expected a class in common, or labels that stand for one (--same moving=car,bus)"
    )
