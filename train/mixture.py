"""The training pictures of `yolov2-slim`, with the labels of people and, for all other objects, those of teachers.

Folders are those of the data sets as published: voc2012-animals, coco128, pennfudan, camvid, kitti-cyclists, flickr8k,
videos. Only training splits are read; the pictures for measurements are never opened here.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.files import replacing
from watchline.ops.boxes import iou
from watchline.ops.voc import VOC
from watchline.train import datasets
from watchline.train.datasets import Image, Sample
from watchline.train.kitti import kitti_cyclists
from watchline.train.pictures import GROUPS, LabelledPicture
from watchline.train.teachers import Labels, Looks, Teachers, fuse

SETS = ("voc2012-animals", "coco128", "kitti-cyclists", "camvid/train", "pennfudan", "videos", "flickr8k")
PHOTOS, STREET, EVERYDAY = range(len(GROUPS))
KEEP, IGNORE = 0.30, 0.18  # a teacher's box at KEEP or above is a label; between the two, it is ignored
CERTAIN = 0.6  # score from which a teacher's label counts as much as a person's
OVERLOOKED = 0.5  # score from which a box that people did not draw may still be right
TAKEN = 0.4  # IoU above which a teacher's box is the same object as a label
LONGEST, QUALITY = 576, 85  # longest side in pixels and JPEG quality of the stored pictures
SQUASHED = math.log(4 / 3)  # this copy of Flickr8k has squares that were 4:3 or 3:4


def gather(data: Path, cache: Path) -> Iterator[LabelledPicture]:
    """All pictures under `data`. Teachers under `data/weights/onnx` label what people did not.

    Args:
        data: folder of the data sets.
        cache: folder for the teachers' outputs, named by the picture's hash.

    Raises:
        DatasetError: a teacher or a data set is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    teachers = Teachers.load(data / "weights" / "onnx")
    for name in SETS:  # before the teachers spend half an hour on the first one
        datasets.existing(data / name)

    def seen(image: Image, closely: bool) -> Labels:
        file = cache / f"{hashlib.sha256(image.tobytes()).hexdigest()[:24]}.npz"
        if not file.is_file():
            looks = teachers.look(image, closely)
            with replacing(file) as part, part.open("wb") as complete:
                np.savez(complete, **vars(looks))
        with np.load(file) as found:
            looks = Looks(**{name: found[name] for name in ("windows", "boxes", "scores", "classes", "look")})
        return fuse(looks, IGNORE)

    for sample in datasets.voc(data / "voc2012-animals", "train"):
        yield _picture(_overlooked(sample, seen(sample.image, False)), PHOTOS)
    for sample in datasets.coco_yolo(data / "coco128", "train2017"):
        yield _picture(_overlooked(sample, seen(sample.image, False)), PHOTOS, often=1.5)
    for sample, opened in kitti_cyclists(data / "kitti-cyclists", "train", lambda image: seen(image, True)):
        yield _picture(_added(sample, seen(sample.image, True)), STREET, opened=opened)
    for sample in datasets.photos(sorted((data / "camvid" / "train").glob("*.jpg"))):
        yield _picture(_added(sample, seen(sample.image, True)), STREET)
    for sample in datasets.pennfudan(data / "pennfudan"):
        yield _picture(_added(sample, seen(sample.image, True)), STREET, often=1.5)
    for name, every in (("intel_car-detection.mp4", 3), ("intel_one-by-one-person-detection.mp4", 8)):
        for sample in datasets.video_frames(data / "videos" / name, every):
            yield _picture(_added(sample, seen(sample.image, True)), STREET, often=0.4)
    for sample in datasets.photos(_listed(data / "flickr8k")):
        yield _picture(_added(sample, seen(sample.image, False)), EVERYDAY, squashed=SQUASHED)


def _listed(folder: Path) -> Iterator[Path]:
    for split in ("train", "dev"):
        for line in datasets.existing(folder / f"Flickr_8k.{split}Images.txt").read_text().splitlines():
            if (file := folder / "images" / line.strip()).is_file():
                yield file


def _added(sample: Sample, seen: Labels) -> tuple[Sample, NDArray[np.float32]]:
    """The sample with the teachers' boxes added: labels that count by their scores, and uncertain ones to ignore."""
    new = iou(seen.boxes, sample.boxes).max(axis=1, initial=0) <= TAKEN
    added = Sample(
        sample.image,
        np.concatenate([sample.boxes, seen.boxes[new]]),
        np.concatenate([sample.classes, seen.classes[new]]),
        np.concatenate([sample.ignore, seen.scores[new] < KEEP]),
    )
    sure = np.minimum(seen.scores[new] / CERTAIN, 1)
    return added, np.concatenate([np.ones(len(sample.boxes), np.float32), sure]).astype(np.float32)


def _overlooked(sample: Sample, seen: Labels) -> tuple[Sample, NDArray[np.float32]]:
    """A picture that people labelled, with the boxes that only teachers are certain of added, to be ignored."""
    certain = seen.scores >= OVERLOOKED
    both, sure = _added(sample, Labels(seen.boxes[certain], seen.scores[certain], seen.classes[certain]))
    ignore = both.ignore.copy()
    ignore[len(sample.boxes) :] = True
    return Sample(both.image, both.boxes, both.classes, ignore), sure


def _picture(
    labelled: tuple[Sample, NDArray[np.float32]],
    group: int,
    opened: NDArray[np.bool_] | None = None,
    squashed: float = 0.0,
    often: float = 1.0,
) -> LabelledPicture:
    sample, sure = labelled
    image, scale = sample.image, min(1.0, LONGEST / max(sample.image.shape[:2]))
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].reshape(-1)
    opened = np.zeros(len(VOC), bool) if opened is None else opened
    boxes = (sample.boxes * scale).astype(np.float32)
    return LabelledPicture(jpeg, boxes, sample.classes, sure, sample.ignore, opened, group, squashed, often)
