"""Ways to compute the same model, compared: the same real pictures, and how far each way is from the first.

A way, or step, is a name and a function from a batch to outputs; parity.py makes them of checkpoints and engines.
Where a step is too far from the first, the look goes inside: to the first layer that diverges (layers.py).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines.engine import Metadata
from watchline.engines.tasks import TASKS
from watchline.measure import layers
from watchline.measure.accuracy import CONF, Accuracy, Find, finder
from watchline.measure.differences import LIKELY, Difference, Outputs, of_detections, of_outputs, shown_boxes
from watchline.measure.errors import ComparisonRefused
from watchline.measure.fitting import fitted
from watchline.measure.layers import Look
from watchline.measure.own_input import OwnInput
from watchline.ops.detections import Detections
from watchline.ops.letterbox import Fit
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import ArrayPicture, Image

Batch = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a step may be from the first; None for any distance.

    Attributes:
        boxes: of a coordinate, in pixels.
        scores: of a score.
        classes: of the pixels of a segmentation, the share with another class; of masks, that of another object's.
        lost: share of boxes that are lost, or that are new.
        drop: of the mean average precision.
    """

    boxes: float | None
    scores: float | None
    classes: float | None
    lost: float | None
    drop: float | None

    def over(self, difference: Difference, drop: float | None) -> tuple[str, ...]:
        """What goes beyond, a line each."""
        rows = [
            ("boxes differ by", difference.boxes, self.boxes, " px"),
            ("scores differ by", difference.scores, self.scores, ""),
            ("the share of pixels of another class or object is", difference.classes, self.classes, ""),
            ("the share of boxes lost or new is", difference.lost_share, self.lost, ""),
            ("the mAP falls by", drop, self.drop, ""),
        ]
        return tuple(
            f"{what} {value:.4g}{unit}, more than {limit:g}"
            for what, value, limit, unit in rows
            if value is not None and limit is not None and not value <= limit
        )


# FP32: rounding alone, which a box on the edge of being shown may still not survive. FP16 and INT8 move what
# nobody sees by any amount (a candidate of YOLOX-nano by 17 px in FP16, which loses no mAP): what is shown counts.
LIMITS = {
    "fp32": Limits(boxes=0.1, scores=1e-3, classes=1e-3, lost=0.01, drop=0.001),
    "fp16": Limits(boxes=None, scores=None, classes=0.01, lost=0.05, drop=0.005),
    "int8": Limits(boxes=None, scores=None, classes=0.05, lost=0.4, drop=0.02),
}


# Pictures that another program resampled in the same way: bytes are rounded twice, and a side may have another pixel.
ALIKE = Limits(boxes=2.0, scores=0.05, classes=None, lost=0.1, drop=None)


@dataclass(frozen=True)
class ComparisonStep:
    """One way to compute the model.

    Attributes:
        name: e.g. "engine by onnxruntime 1.23.0".
        run: from (1, H, W, 3) uint8 BGR to the outputs by name.
        precision: whose limits hold, a key of LIMITS.
        graph: that it computes, where there is one.
        inside: the tensors of the graph in the order of computation, for one picture; None where they cannot be seen.
        slow: too slow to measure its mAP.
    """

    name: str
    run: Callable[[Batch], Outputs]
    precision: str = "fp32"
    graph: onnx.GraphProto | None = None
    inside: Callable[[Batch], Iterable[tuple[str, NDArray[Any]]]] | None = None
    slow: bool = False


@dataclass(frozen=True)
class Compared:
    """A step and how far it is from the first.

    Attributes:
        name, precision: of the step.
        difference: from the first step; all nothing for that itself.
        accuracy: on labelled pictures; None if there are none.
        drop: of the mean average precision, from the first step that has one.
        over: limits that it exceeds, a line each.
        look: inside, where the step exceeds a limit.
    """

    name: str
    precision: str
    difference: Difference
    accuracy: Accuracy | None
    drop: float | None
    over: tuple[str, ...]
    look: Look | None

    @property
    def mean(self) -> float:
        """Mean average precision; NaN where it was not measured."""
        return math.nan if self.accuracy is None else self.accuracy.mean

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: None in its place."""
        return {
            "step": self.name,
            "precision": self.precision,
            **_finite(asdict(self.difference) | {"mean_average_precision": self.mean}),
            "drop": self.drop,
            "passed": not self.over,
            "over": list(self.over),
            "first_divergence": None if self.look is None else {**_finite(asdict(self.look)), "text": self.look.text},
        }


class Comparison:
    """Steps are compared one after another; the first is what all others are held against.

    Args:
        pictures: (H, W, 3) uint8 BGR, at least one.
        about, size: of the model, and (width, height) of its input.
        detector: whose `conf` and `iou` say which boxes are shown.
        measure: measures the mAP on labelled pictures; None for none.
        limits: by precision.

    Raises:
        ComparisonRefused: there are no pictures; from `add`: the first step finds nothing in them.
    """

    def __init__(
        self,
        pictures: Sequence[Image],
        about: Metadata,
        size: tuple[int, int],
        detector: Detector,
        measure: Callable[[Find], Accuracy] | None = None,
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        if not pictures:
            raise ComparisonRefused("there are no pictures to compare on: expected at least one")
        self._pictures = pictures
        self._batches = [fitted(ArrayPicture(image), about, size)[0] for image in pictures]
        self._about = about
        self._size = size
        self._detector = detector
        self._measure = measure if TASKS[about.task].finds_boxes else None
        self._limits = limits
        self._first: list[Outputs] = []
        self._base: float | None = None
        self._sound: ComparisonStep | None = None  # the last step that was within its limits and shows what is inside

    def add(self, step: ComparisonStep) -> Compared:
        """Run a step over all pictures and compare."""
        outputs = [step.run(batch) for batch in self._batches]
        shown = (self._size, self._about.labels, self._detector.conf, self._detector.iou)
        if not self._first:
            self._check(outputs)
            self._first = outputs
        apart = [of_outputs(one, other, *shown) for one, other in zip(self._first, outputs, strict=True)]
        accuracy = self._measure(self._finder(step)) if self._measure and not step.slow else None
        drop = self._drop(accuracy)
        over = self._limits[step.precision].over(total := sum(apart, Difference()), drop)
        look = self._look(step, self._batches[apart.index(max(apart))]) if over else None
        if not over and step.inside:
            self._sound = step
        return Compared(step.name, step.precision, total, accuracy, drop, over, look)

    def add_pipeline(self, name: str, detector: Detector, precision: str) -> Compared:
        """Run the detector stage over the same pictures: only what is shown counts, cut at the picture's edges."""
        with finder(detector) as find:
            apart = [self._from_first(*pair, find(pair[1])) for pair in zip(self._first, self._pictures, strict=True)]
        accuracy = None
        if self._measure:
            with finder(replace(detector, conf=CONF)) as find:
                accuracy = self._measure(find)
        total, drop = sum(apart, Difference()), self._drop(accuracy)
        over = self._limits[precision].over(total, drop)
        return Compared(name, precision, total, accuracy, drop, over, None)

    def add_input(self, name: str, run: Callable[[Batch], Outputs], own: OwnInput) -> Compared:
        """Run one step on pictures as the network's own program prepares them, and as we do: what is shown is compared.

        There are limits only where both resample alike; elsewhere, this is how far apart they are.
        """
        shown = (self._about.labels, self._detector.conf, self._detector.iou)
        apart = []
        for image, ours in zip(self._pictures, self._batches, strict=True):
            theirs, place = own.fitted(image, self._size, self._about.pad)
            _, here = fitted(ArrayPicture(image), self._about, self._size)
            difference = of_detections(shown_boxes(run(theirs), *shown, place), shown_boxes(run(ours), *shown, here))
            apart.append(_in_network(difference, here))
        total = sum(apart, Difference())
        return Compared(name, "fp32", total, None, None, ALIKE.over(total, None) if own.alike else (), None)

    def _from_first(self, outputs: Outputs, image: Image, found: Detections) -> Difference:
        """Of what is found in the pixels of a picture; told in pixels of the network, as that of other steps."""
        _, place = fitted(ArrayPicture(image), self._about, self._size)
        expected = shown_boxes(outputs, self._about.labels, self._detector.conf, self._detector.iou, place)
        return _in_network(of_detections(expected, found), place)

    def _check(self, outputs: Sequence[Outputs]) -> None:
        """Raises ComparisonRefused: there is nothing to compare, which must not pass for parity."""
        if TASKS[self._about.task].finds_boxes and all(one["scores"].max(initial=0) < LIKELY for one in outputs):
            raise ComparisonRefused(
                f"nothing was found in {len(outputs)} pictures, not even with a score of {LIKELY:g}: "
                "expected pictures that show what the model knows"
            )

    def _finder(self, step: ComparisonStep) -> Find:
        """The step as a function from a picture to what is in it, down to low scores."""

        def find(image: Image) -> Detections:
            batch, place = fitted(ArrayPicture(image), self._about, self._size)
            return shown_boxes(step.run(batch), self._about.labels, CONF, self._detector.iou, place)

        return find

    def _drop(self, accuracy: Accuracy | None) -> float | None:
        if accuracy is None or math.isnan(accuracy.mean):
            return None
        if self._base is None:
            self._base = accuracy.mean
        return self._base - accuracy.mean

    def _look(self, step: ComparisonStep, batch: Batch) -> Look | None:
        """Where the step parts from the last one that was right."""
        if self._sound is None or self._sound.inside is None or step.inside is None or step.graph is None:
            return None
        right = dict(self._sound.inside(batch))
        return layers.first_divergence(right, step.inside(batch), layers.LIMITS[step.precision], step.graph)


def _in_network(difference: Difference, place: Fit) -> Difference:
    """A difference in pixels of the picture, in those of the network."""
    scale = max(inner / source for inner, source in zip(place.inner, place.source, strict=True))
    return replace(difference, boxes=None if difference.boxes is None else difference.boxes * scale)


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in table.items()
    }
