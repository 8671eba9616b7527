"""How good a segmenter is on labelled pictures: mean IoU of the class maps that come out of the segmenter stage.

    measured = class_maps(Segmenter(model="segmenter.onnx"), Path("camvid"), split="test")
    measured.mean, measured.per_class["car"]

The layout is CamVid's: pictures in `SPLIT`, and in `SPLITannot` PNGs of the same names, with the number of a label for
each pixel. 255, or the number after the last label, is void. The letterbox and the way back to the picture's own pixels
are part of what is measured, as they are part of what users get.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.scores import MEAN, Table
from watchline.ops.class_map import ClassMap
from watchline.ops.coco_precision import mean_of_counted
from watchline.ops.mean_iou import Counts, confusion, iou_per_class, mean_iou, pixel_accuracy
from watchline.pipeline.stages.segmenter import Segmenter
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

USUAL = ("val", "test")  # splits that are measured on, the first that is there
SUFFIXES = (".jpg", ".jpeg", ".png")
ANNOTATIONS = "annot"  # what the folder of a split's annotations has behind the split's name
VOID = 255
MOST_WORST = 12  # pictures whose class maps are kept
AS_THEY_ARE = np.arange(256, dtype=np.uint8)  # each number of the network stands for its own class

Progress = Callable[[int, int], object]
"""Called after each picture: how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Mistaken:
    """A picture with pixels of the wrong class.

    Attributes:
        picture, annotation: their files.
        found: what the model made of it.
        wrong: share of the pixels that have a class, in 0..1.
    """

    picture: Path
    annotation: Path
    found: ClassMap
    wrong: float


@dataclass(frozen=True, slots=True)
class ClassMaps:
    """What was measured, and on what.

    Attributes:
        data: the folder's name.
        split: that was read.
        pictures: how many.
        labels: of the model, in the order of the data set's numbers.
        each: (P, C, C), the confusion matrix of each picture: [truth, predicted].
        worst: the pictures with the largest shares of wrong pixels, MOST_WORST at most, the worst first.
        seconds: that reading and segmenting took.
    """

    data: str
    split: str
    pictures: int
    labels: tuple[str, ...]
    each: NDArray[np.int64]
    worst: tuple[Mistaken, ...]
    seconds: float

    @property
    def counts(self) -> Counts:
        """(C, C), the confusion matrix over all pictures."""
        return np.asarray(self.each.sum(axis=0), np.int64)

    def table(self, weights: NDArray[np.int64] | None = None) -> Table:
        """The IoU of each class and their mean, as a `Scorer` gives them: of all pictures, or of samples."""
        if weights is None:
            return {MEAN: {"IoU": np.array(self.mean)}} | {n: {"IoU": np.array(v)} for n, v in self.per_class.items()}
        flat = weights @ self.each.reshape(len(self.each), -1)
        sums = flat.reshape(len(weights), len(self.labels), len(self.labels))
        values = np.array([iou_per_class(counts) for counts in sums]).T  # (C, B)
        whole = np.array(list(self.per_class.values()))[:, None]
        mean = mean_of_counted(np.where(np.isnan(values), whole, values), 0)
        return {MEAN: {"IoU": mean}} | {name: {"IoU": row} for name, row in zip(self.labels, values, strict=True)}

    @property
    def per_class(self) -> dict[str, float]:
        """IoU in 0..1 by label; NaN for a class that is neither there nor predicted."""
        return dict(zip(self.labels, iou_per_class(self.counts).tolist(), strict=True))

    @property
    def mean(self) -> float:
        """Mean IoU over the classes that are there."""
        return mean_iou(self.counts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN: None in its place."""
        pixels = self.counts.sum(1).tolist()
        return {
            "data": self.data,
            "split": self.split,
            "pictures": self.pictures,
            "mean_iou": _number(self.mean),
            "pixel_accuracy": _number(pixel_accuracy(self.counts)),
            "classes": {
                name: {"iou": _number(value), "pixels": count}
                for (name, value), count in zip(self.per_class.items(), pixels, strict=True)
            },
            "confusion": {"labels": list(self.labels), "matrix": self.counts.tolist()},
            "worst": [{"picture": one.picture.name, "wrong": one.wrong} for one in self.worst],
            "seconds": round(self.seconds, 3),
        }


def class_maps(
    segmenter: Segmenter, data: Path, split: str | None = None, every: int = 1, progress: Progress | None = None
) -> ClassMaps:
    """Run the segmenter's model over labelled pictures, one by one.

    Args:
        segmenter: the stage's settings. Its model's task is to segment.
        data: folder in CamVid's layout.
        split: of the pictures; None for val or test, the first that is there.
        every: only every n-th picture.

    Raises:
        DataNotFound: no such folder or split, or an annotation is missing.
        DataRefused: an annotation is broken, or has numbers that the model has no labels for; or the model's task is
            another.
        SourceUnreadable: a picture cannot be decoded.
        EngineError, ConfigError: the model does not load or does not run.
    """
    split = find_split(data, split)
    files = pictures(data, split)[::every]
    with segmenter.opened(1) as engines:
        if engines.task != "segment":
            raise DataRefused(
                f"{data} holds class maps, and {segmenter.model} gives none: its task is {engines.task!r}"
            )
        labels = engines.labels
        each = np.zeros((len(files), len(labels), len(labels)), np.int64)
        worst: list[Mistaken] = []
        started = time.monotonic()
        for number, file in enumerate(files, 1):
            image = read_photo(file).pixels
            height, width = image.shape[:2]
            labelled = data / f"{split}{ANNOTATIONS}" / f"{file.stem}.png"
            truth = annotation(labelled, (height, width), len(labels))
            [outputs] = engines.infer([ArrayPicture(image)])
            found = outputs.class_map(AS_THEY_ARE)
            counts = each[number - 1] = confusion(found.scaled(width, height), truth, len(labels))
            worst.append(Mistaken(file, labelled, found, 1 - pixel_accuracy(counts)))
            worst = sorted((one for one in worst if one.wrong > 0), key=lambda one: -one.wrong)[:MOST_WORST]
            if progress:
                progress(number, len(files))
    return ClassMaps(data.resolve().name, split, len(files), labels, each, tuple(worst), time.monotonic() - started)


def in_layout(data: Path) -> bool:
    """Whether a folder is in CamVid's layout."""
    return bool(_splits(data))


def find_split(data: Path, split: str | None = None) -> str:
    """The split to read: the one asked for, else val or test, else the first. Raises DataNotFound: there is none."""
    if not data.is_dir():
        raise DataNotFound(f"{data}: there is no such folder; expected pictures with class maps in CamVid's layout")
    there = _splits(data)
    if not there:
        raise DataNotFound(f"{data}: expected CamVid's layout, pictures in e.g. val and their class maps in valannot")
    if split is None:
        return next((usual for usual in USUAL if usual in there), there[0])
    if split not in there:
        raise DataNotFound(f"{data} has no split {split!r}: expected one of {', '.join(there)}")
    return split


def pictures(data: Path, split: str) -> list[Path]:
    """The pictures of a split, by name. Raises DataNotFound: it has none."""
    files = sorted(file for file in (data / split).iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataNotFound(f"{data / split} holds no pictures: expected {', '.join(SUFFIXES)}")
    return files


def annotation(file: Path, shape: tuple[int, ...], labels: int) -> NDArray[np.uint8]:
    """The classes of a picture's pixels, (H, W) uint8; void where none.

    Args:
        file: a PNG of one channel.
        shape: (H, W) of the picture.
        labels: how many the model has.

    Raises:
        DataNotFound: there is no such file.
        DataRefused: it is broken, of another size, or has numbers beyond the labels.
    """
    if not file.is_file():
        raise DataNotFound(f"{file} is missing: expected a class map for each picture of the split")
    classes = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED) if file.stat().st_size else None
    if classes is None or classes.dtype != np.uint8 or classes.shape != shape:
        what = "no picture" if classes is None else f"{classes.shape} {classes.dtype}"
        raise DataRefused(f"{file}: {what}; expected {shape} uint8, the number of a class for each pixel")
    beyond = classes[(classes > labels) & (classes != VOID)]
    if len(beyond):
        raise DataRefused(
            f"{file}: it has the class {beyond[0]}, and the model has {labels} labels; expected numbers below that, "
            f"and {labels} or {VOID} for void: measure a model that was trained on these classes"
        )
    return np.asarray(classes, np.uint8)


def _splits(data: Path) -> list[str]:
    """The splits that have pictures and class maps."""
    names = (folder.name.removesuffix(ANNOTATIONS) for folder in data.glob(f"?*{ANNOTATIONS}"))
    return sorted(name for name in names if (data / name).is_dir())


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
