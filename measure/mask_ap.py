"""How good masks are on labelled pictures: COCO's average precision of what comes out of the detector stage.

    measured = mask_ap(Detector(model="masks.onnx"), Path("pennfudan"), split="test")
    measured.boxes.ap, measured.masks.ap

Lin et al., "Microsoft COCO" (2014): the mean over the IoUs 0.50, 0.55, … 0.95, of boxes and of masks, over 101 recalls,
with at most 100 detections of a picture. COCO's own code computes it (`pycocotools`), so the figures are those that
papers have.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from watchline.extras import command
from watchline.measure import masked
from watchline.measure.accuracy import CONF, Find, finder, label_of_each
from watchline.measure.errors import DataRefused, LibraryNotInstalled
from watchline.ops.detections import Detections
from watchline.pipeline.stages.detector import Detector

Progress = Callable[[int], object]
"""Called after each picture: how many are done."""


@dataclass(frozen=True, slots=True)
class Precision:
    """COCO's figures of boxes or of masks, in 0..1.

    Attributes:
        ap: the mean over IoUs of 0.50 to 0.95, and over the classes.
        ap50, ap75: at one IoU.
        per_class: the mean over the IoUs by the data set's class names.
    """

    ap: float
    ap50: float
    ap75: float
    per_class: dict[str, float]


@dataclass(frozen=True, slots=True)
class MaskAP:
    """What was measured, and on what.

    Attributes:
        data: the folder's name.
        split: that was read.
        pictures: how many.
        boxes, masks: the figures; `masks` is None of a model that finds boxes alone.
        objects: by class, how many there are, without crowds.
        unknown: classes of the data set that the model has no label for; they are left out.
        seconds: that reading and detecting took.
    """

    data: str
    split: str
    pictures: int
    boxes: Precision
    masks: Precision | None
    objects: dict[str, int]
    unknown: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = {"boxes": self.boxes, "masks": self.masks}
        return {
            "data": self.data,
            "split": self.split,
            "pictures": self.pictures,
            **{
                name: {"ap": one.ap, "ap50": one.ap50, "ap75": one.ap75, "classes": one.per_class}
                for name, one in figures.items()
                if one is not None
            },
            "objects": self.objects,
            "unknown_classes": list(self.unknown),
            "seconds": round(self.seconds, 3),
        }


def mask_ap(
    detector: Detector, data: Path, split: str | None = None, every: int = 1, progress: Progress | None = None
) -> MaskAP:
    """Run the detector stage over labelled pictures, one by one.

    Args:
        detector: its settings, but for `conf`, which is low here.
        data: folder in a layout that `masked` reads.
        split, every: which pictures, as `masked.find_split` and `masked.read` have it.

    Raises:
        MeasureError, SourceUnreadable: see `masked.read`; or model and data set have no class in common.
        LibraryNotInstalled: pycocotools is missing.
        EngineError, ConfigError: the model does not load or does not run.
    """
    _library()
    with finder(replace(detector, conf=CONF)) as find:
        return mask_ap_of(find, data, split, every, progress)


def mask_ap_of(
    find: Find, data: Path, split: str | None = None, every: int = 1, progress: Progress | None = None
) -> MaskAP:
    """As `mask_ap`, of anything that finds objects in a picture, from low scores on."""
    split = masked.find_split(data, split)
    started = time.monotonic()
    found: list[Detections] = []
    truth: list[_Truth] = []
    for number, picture in enumerate(masked.read(data, split, every), 1):
        found.append(find(picture.image))
        truth.append(_Truth(picture.masks.to_rle(), picture.names, picture.crowd.tolist(), picture.masks.size))
        if progress:
            progress(number)
    if not found:
        raise DataRefused(f"{data}: its {split} has no pictures; expected some with masks")
    seconds = time.monotonic() - started
    there = sorted({name for one in truth for name in one.names})
    answers = label_of_each(there, found[0].labels)
    if not answers:
        raise DataRefused(f"{data}: its {split} has {', '.join(there) or 'no objects'}: the model has no such class")
    labelled = _labelled(truth, list(answers))
    numbers = {label: number for number, label in enumerate(answers.values(), 1)}
    has_masks = all(one.masks is not None for one in found)
    rows = _rows(found, numbers)
    return MaskAP(
        data=data.resolve().name,
        split=split,
        pictures=len(found),
        boxes=_evaluated(labelled, rows, "bbox", list(answers)),
        masks=_evaluated(labelled, rows, "segm", list(answers)) if has_masks else None,
        objects={name: sum(_count(one, name) for one in truth) for name in answers},
        unknown=tuple(name for name in there if name not in answers),
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True)
class _Truth:
    """What is in a picture, without the picture; (height, width) is its size."""

    masks: list[dict[str, Any]]
    names: tuple[str, ...]
    crowd: list[bool]
    size: tuple[int, int]


def _count(truth: _Truth, name: str) -> int:
    return sum(one == name and not crowd for one, crowd in zip(truth.names, truth.crowd, strict=True))


def _labelled(truth: Sequence[_Truth], names: list[str]) -> dict[str, Any]:
    """The truth as COCO's JSON has it; pictures, objects and classes are numbered from 1."""
    from pycocotools import mask

    objects: list[dict[str, Any]] = []
    for picture, one in enumerate(truth, 1):
        for rle, name, crowd in zip(one.masks, one.names, one.crowd, strict=True):
            if name in names:
                about = {"id": len(objects) + 1, "image_id": picture, "category_id": names.index(name) + 1}
                extent = {"area": int(mask.area(rle)), "bbox": mask.toBbox(rle).tolist()}
                objects.append({**about, **extent, "segmentation": rle, "iscrowd": int(crowd)})
    return {
        "info": {},
        "images": [{"id": number, "height": one.size[0], "width": one.size[1]} for number, one in enumerate(truth, 1)],
        "annotations": objects,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }


def _rows(found: Sequence[Detections], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """The detections of classes that count, as COCO's results have them."""
    rows = []
    for picture, one in enumerate(found, 1):
        outlines = [None] * len(one) if one.masks is None else one.masks.to_rle()
        for detection, outline in zip(one, outlines, strict=True):
            if detection.name in numbers:
                x1, y1, x2, y2 = detection.xyxy
                row: dict[str, Any] = {"image_id": picture, "category_id": numbers[detection.name]}
                row |= {"score": detection.confidence, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                rows.append(row | ({} if outline is None else {"segmentation": outline}))
    return rows


def _evaluated(labelled: dict[str, Any], rows: list[dict[str, Any]], kind: str, names: list[str]) -> Precision:
    """COCO's figures. Args: kind, "bbox" or "segm"."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not rows:
        return Precision(0.0, 0.0, 0.0, dict.fromkeys(names, 0.0))
    if kind == "segm":  # with boxes in the rows, COCO's reader would take the results for boxes
        rows = [{name: value for name, value in row.items() if name != "bbox"} for row in rows]
    with redirect_stdout(StringIO()), warnings.catch_warnings():  # it prints its progress
        warnings.simplefilter("ignore", DeprecationWarning)
        truth = COCO()
        truth.dataset = labelled
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in rows]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]  # (IoUs, recalls, classes), of all sizes
    each = [precision[:, :, number] for number in range(len(names))]
    per_class = {name: float(one[one >= 0].mean()) for name, one in zip(names, each, strict=True) if (one >= 0).any()}
    ap, ap50, ap75 = evaluation.stats[:3].tolist()
    return Precision(ap, ap50, ap75, per_class)


def _library() -> None:
    """Raises LibraryNotInstalled: pycocotools is missing."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise LibraryNotInstalled(f"COCO's average precision needs pycocotools ({error}): {command('coco')}") from error
