"""How good a detector is on labelled pictures: VOC's average precision of what comes out of the detector stage.

    measured = accuracy(Detector(model="yolov2.onnx"), Path("VOC2007"), split="test")
    measured.mean, measured.per_class["dog"]

So letterbox, runtime, decoding and suppression are part of what is measured, as they are part of what users get. In the
figures of papers a box counts for each of its classes: `Detector(several=True)`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from watchline.measure.answers import answers_of, listed, numbered, numbered_truth
from watchline.measure.errors import DataRefused
from watchline.measure.layouts.known import open_data
from watchline.measure.layouts.labelled import NO_PIXELS, Labelled
from watchline.ops.average_precision import average_precision, mean_average_precision
from watchline.ops.detections import Detections
from watchline.ops.precision_recall import Rule
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import ArrayPicture, Frame, Image

CONF = 0.01  # average precision wants the whole curve, down to what nobody would show

Find = Callable[[Image], Detections]
"""What a detector finds in a picture (H, W, 3) uint8 BGR."""

Progress = Callable[[int, int], object]
"""Called after each picture: how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What was measured, and on what.

    Attributes:
        data: the folder's name.
        split: that was read.
        pictures: how many.
        rule, threshold: of the average precision: "voc2010" or "voc2007", and the IoU from which a box is right.
        per_class: average precision in 0..1 by the data set's class names; NaN where all objects are difficult.
        objects: by class, how many count: those that are not difficult.
        unknown: classes of the data set that the model has no label for; they are left out.
        seconds: that reading and detecting took.
    """

    data: str
    split: str
    pictures: int
    rule: Rule
    threshold: float
    per_class: dict[str, float]
    objects: dict[str, int]
    unknown: tuple[str, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """Mean average precision: over the classes that have objects which count; NaN if none has."""
        return mean_average_precision(np.array(list(self.per_class.values())))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: None in its place."""
        return {
            "data": self.data,
            "split": self.split,
            "pictures": self.pictures,
            "rule": self.rule,
            "iou_threshold": self.threshold,
            "mean_average_precision": _number(self.mean),
            "classes": {
                name: {"average_precision": _number(value), "objects": self.objects[name]}
                for name, value in self.per_class.items()
            },
            "unknown_classes": list(self.unknown),
            "seconds": round(self.seconds, 3),
        }


def accuracy(
    detector: Detector,
    data: Path,
    split: str | None = None,
    rule: Rule = "voc2010",
    every: int = 1,
    threshold: float = 0.5,
    progress: Progress | None = None,
) -> Accuracy:
    """Run the detector stage over labelled pictures, one by one.

    Args:
        detector: its settings, but for `conf`, which is low here. Its `classes` are those to measure, without any all.
        data: folder in a layout that is known.
        split, every: which pictures, as `open_data` has it.
        rule, threshold: as `average_precision` has them.

    Raises:
        MeasureError, SourceUnreadable: see `open_data`; or model and data set have no class in common.
        EngineError, ConfigError: the model does not load or does not run.
        ValueError: there is no such rule or threshold.
    """
    with finder(replace(detector, conf=CONF)) as find:
        return accuracy_of(find, data, split, rule, every, threshold, detector.classes, progress)


@contextmanager
def finder(detector: Detector) -> Iterator[Find]:
    """The detector stage as a plain function of one picture. Raises what `Detector.open` raises."""
    with detector.open() as process:

        def find(image: Image) -> Detections:
            [item] = process([Item(Frame("measure", 0, 0, Fraction(1), ArrayPicture(image)))])
            assert item.detections is not None, "the detector looks at every frame 0"
            return item.detections

        yield find


def accuracy_of(
    find: Find,
    data: Path,
    split: str | None = None,
    rule: Rule = "voc2010",
    every: int = 1,
    threshold: float = 0.5,
    classes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Accuracy:
    """As `accuracy`, of anything that finds boxes in a picture, from low scores on.

    Args:
        classes: labels to measure; without any, all.
    """
    labelled = open_data(data, split, every)
    started = time.monotonic()
    found: list[Detections] = []
    pictures: list[Labelled] = []
    for number, picture in enumerate(labelled.read(), 1):
        found.append(find(picture.image))
        pictures.append(replace(picture, picture=NO_PIXELS, masks=None))
        if progress:
            progress(number, max(labelled.count, number))
    there = sorted({name for picture in pictures for name in picture.names})
    labels = found[0].labels
    answers = answers_of(there, labels)
    unknown = tuple(name for name in there if name not in answers)
    if classes:
        answers = {name: own for name, own in answers.items() if own[0] in classes}
    if not answers:
        raise DataRefused(
            f"{data}: its {labelled.split} has {listed(there)}, and none of these is asked for; the model has "
            f"{listed(classes or labels)}; expected a class in common"
        )
    real = [numbered_truth(picture, answers) for picture in pictures]
    values = average_precision([numbered(one, answers, 1.0) for one in found], real, len(answers), threshold, rule)
    counts = sum((np.bincount(t.classes[~t.difficult], minlength=len(answers)) for t in real), np.zeros(1, int))
    return Accuracy(
        data=labelled.name,
        split=labelled.split,
        pictures=len(found),
        rule=rule,
        threshold=threshold,
        per_class=dict(zip(answers, values.tolist(), strict=True)),
        objects=dict(zip(answers, counts.tolist(), strict=True)),
        unknown=unknown,
        seconds=time.monotonic() - started,
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
