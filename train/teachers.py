"""Pseudo-labels: the detections of trained networks, for objects that nobody has labelled.

The teachers run on a photo, on its mirror image and, closely, on four enlarged parts of it. Each of these runs is a
look. The outputs are stored unchanged (`Teachers.look`) and merged afterwards (`fuse`), so the rules of merging can
change without running the teachers again. A box's score is the mean over all looks that could see the object; a look
that does not find it counts as 0.

Weighted box fusion: Solovyev, Wang and Gabruseva (2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import load, zoo
from watchline.engines.engine import Engine
from watchline.engines.errors import ModelRefused
from watchline.export.again import is_ours
from watchline.export.detectors import export as third_party
from watchline.export.errors import ExportRefused
from watchline.export.request import Request
from watchline.ops.boxes import Boxes, iou
from watchline.ops.coco import RENAMED
from watchline.ops.letterbox import Rule, fit
from watchline.ops.select import Selected, select

Image = NDArray[np.uint8]

SAME_OBJECT = 0.55  # IoU above which boxes of two looks are one object
SEEN = 0.05  # boxes with a lower score are left out
QUARTER = 0.6  # side of an enlarged part, as a share of the picture's
EDGE = 3.0  # pixels: an object whose box is this close to a cut may continue beyond it
SMALL = 0.35  # an object up to this share of an enlarged part's side may take its score from the enlarged parts


@dataclass(frozen=True)
class Looks:
    """The outputs of L looks at a picture.

    Attributes:
        windows: (L, 4) float32 xyxy, the part of the picture that each look has seen.
        boxes: (N, 4) float32 xyxy in pixels of the picture.
        scores: (N,) float32.
        classes: (N,) int64.
        look: (N,) int64, the look of each box: index into `windows`.
    """

    windows: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    look: NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Merged boxes of a picture: boxes (N, 4), scores (N,), classes (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Teacher:
    """A detector, and which class each of its labels is.

    Attributes:
        engine: that runs it.
        columns: (C,) int64, of its scores, those of the classes that are wanted.
        classes: (C,) int64, the class of each of these columns; several may have the same one.
    """

    engine: Engine
    columns: NDArray[np.int64]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, engine: Engine, names: Sequence[str], renamed: Mapping[str, str] = RENAMED) -> "Teacher":
        """A detector whose labels are found among `names`, under their own name or, as `renamed` has it, another."""
        numbers = {name: number for number, name in enumerate(names)}
        labels = engine.metadata.labels
        found = [numbers.get(label, numbers.get(renamed.get(label, label), -1)) for label in labels]
        columns = np.flatnonzero(np.array(found) >= 0)
        return cls(engine, columns, np.array(found, np.int64)[columns])

    def see(self, bgr: Image) -> Selected:
        """The best class of each box with a score of at least SEEN, after suppression, in pixels of the picture."""
        if not len(self.columns):
            return select(np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float32), conf=SEEN, iou=SAME_OBJECT)
        boxes, scores = _see(self.engine, bgr)
        return select(boxes, scores[:, self.columns], conf=SEEN, iou=SAME_OBJECT, class_of=self.classes)


@dataclass(frozen=True)
class Teachers:
    """Detectors that label together."""

    members: tuple[Teacher, ...]

    def look(self, bgr: Image, closely: bool = False) -> Looks:
        """Run the teachers on a picture (H, W, 3) and its mirror image; closely: on four enlarged parts too."""
        height, width = bgr.shape[:2]
        windows: list[tuple[int, int, int, int]] = []
        found: list[tuple[Boxes, NDArray[np.float32], NDArray[np.int64]]] = []
        for window in [(0, 0, width, height), *(quarters(width, height) if closely else [])]:
            x1, y1, x2, y2 = window
            part = np.ascontiguousarray(bgr[y1:y2, x1:x2])
            whole = window == (0, 0, width, height)
            for teacher in self.members:
                for mirrored in (False, True) if whole else (False,):
                    boxes, scores, classes, _ = teacher.see(part[:, ::-1] if mirrored else part)
                    if mirrored:
                        boxes = _mirror(boxes, x2 - x1)
                    windows.append(window)
                    found.append((boxes + np.array([x1, y1, x1, y1], np.float32), scores, classes))
        return Looks(
            np.array(windows, np.float32),
            np.concatenate([boxes for boxes, _, _ in found]),
            np.concatenate([scores for _, scores, _ in found]),
            np.concatenate([classes for _, _, classes in found]),
            np.repeat(np.arange(len(found)), [len(f[0]) for f in found]),
        )


def quarters(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Four overlapping parts of a picture, one at each corner."""
    w, h = round(width * QUARTER), round(height * QUARTER)
    return [(x, y, x + w, y + h) for y in (0, height - h) for x in (0, width - w)]


def fuse(looks: Looks, least: float = 0.05) -> Labels:
    """Merge the looks: one box per object.

    Best score first, a box joins the object of its class that it overlaps by SAME_OBJECT, or starts a new object. An
    object's box is the mean of its boxes, weighted by their scores. Its score is the mean over the looks at the
    complete picture. For a small object, it is the mean over the enlarged parts that show all of it, if that is higher.

    Args:
        looks: outputs of the teachers. least: objects with a lower score are left out.
    """
    size = looks.windows[:, 2:].max(axis=0)
    whole = (looks.windows == np.array([0, 0, *size], np.float32)).all(axis=1)
    cut = _touches_a_cut(looks, size)
    order = np.flatnonzero(~cut)[np.argsort(-looks.scores[~cut], kind="stable")]
    members: list[list[int]] = []
    centres = np.empty((0, 4), np.float32)
    classes: list[int] = []
    for i in order.tolist():
        overlap = iou(looks.boxes[i : i + 1], centres)[0] * (np.array(classes, np.int64) == looks.classes[i])
        if len(overlap) and overlap.max() > SAME_OBJECT:
            members[best := int(overlap.argmax())].append(i)
            centres[best] = np.average(looks.boxes[members[best]], axis=0, weights=looks.scores[members[best]])
        else:
            members.append([i])
            centres = np.concatenate([centres, looks.boxes[i : i + 1]])
            classes.append(int(looks.classes[i]))
    scores = np.array([_score(looks, whole, centre, m) for centre, m in zip(centres, members, strict=True)], np.float32)
    kept = scores >= least
    return Labels(centres[kept], scores[kept], np.array(classes, np.int64)[kept])


def _score(looks: Looks, whole: NDArray[np.bool_], box: NDArray[np.float32], members: list[int]) -> float:
    best = np.zeros(len(looks.windows), np.float32)
    np.maximum.at(best, looks.look[members], looks.scores[members])
    score = float(best[whole].mean())
    side = looks.windows[:, 2:] - looks.windows[:, :2]
    inside = ((box[:2] > looks.windows[:, :2] + EDGE) & (box[2:] < looks.windows[:, 2:] - EDGE)).all(axis=1)
    close = ~whole & inside & ((box[2:] - box[:2]).max() < SMALL * side.min(axis=1))
    return max(score, float(best[close].mean())) if close.any() else score


def _touches_a_cut(looks: Looks, size: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether boxes (N,) touch an edge of their window that is not an edge of the picture."""
    window = looks.windows[looks.look]
    near_start = (looks.boxes[:, :2] - window[:, :2] < EDGE) & (window[:, :2] > 0)
    near_end = (window[:, 2:] - looks.boxes[:, 2:] < EDGE) & (window[:, 2:] < size)
    return np.asarray((near_start | near_end).any(axis=1), np.bool_)


def open_detector(file: Path, runtime: str | None = None, name: str = "") -> Engine:
    """Open a model of Watchline, or an ONNX detector of a family that the export knows.

    Args:
        name: of the model as its user knows it, for errors; without it the file's.

    Raises:
        ModelNotFound, ModelRefused: there is no such file, or it finds no boxes.
        ExportError: it is an ONNX of no known family.
    """
    if file.suffix.lower() == ".onnx" and not is_ours(file):
        family = third_party.recognise(file)
        if family is None:
            raise ExportRefused(f"{file}: its outputs are of no detector that is known; export it with --family first")
        engine = _exported(file, family, runtime)
    else:
        engine = load(file, runtime)
    if engine.metadata.task != "detect":
        raise ModelRefused(
            f"{name or file}: its task is {engine.metadata.task}: expected a detector, whose task is detect; name "
            f"another, e.g. {zoo.DEFAULT}"
        )
    return engine


def _exported(file: Path, family: str, runtime: str | None = None) -> Engine:
    with TemporaryDirectory() as folder:
        model = Path(folder, "teacher.onnx")
        onnx.save(third_party.export(file, family, Request(file.stem)), model)
        return load(model, runtime)


def _see(engine: Engine, bgr: Image) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes (N, 4) in source pixels and scores (N, C)."""
    placement = fit((bgr.shape[1], bgr.shape[0]), engine.size, cast(Rule, engine.metadata.resize))
    batch = np.empty((1, *engine.size[::-1], 3), np.uint8)
    placement.place(np.asarray(cv2.resize(bgr, placement.inner), np.uint8), batch[0], engine.metadata.pad)
    outputs = engine.infer(batch)
    return placement.to_source(outputs["boxes"][0]), outputs["scores"][0]


def _mirror(boxes: Boxes, width: int) -> Boxes:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
