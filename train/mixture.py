"""The training pictures of a recipe's file, with the labels of people and, for all other objects, those of teachers.

Classes are VOC's twenty. Which data sets are read, how often they are drawn and who labels them is in the file
(`recipe_file.py`, recipes/).
"""

import hashlib
import math
from collections.abc import Callable, Iterator
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
from watchline.train.pictures import LabelledPicture
from watchline.train.recipe_file import Labelling, RecipeFile, Source
from watchline.train.teachers import Labels, Looks, Teacher, Teachers, fuse, open_detector

TAKEN = 0.4  # IoU above which a teacher's box is the same object as a label
LONGEST, QUALITY = 576, 85  # longest side in pixels and JPEG quality of the stored pictures

See = Callable[[Image], Labels]
Opened = tuple[Sample, NDArray[np.bool_]]
"""A labelled picture, and the classes (20,) of which not every object in it has a box."""

NONE_OPEN = np.zeros(len(VOC), np.bool_)
LAYOUTS: dict[str, Callable[[Path, Source, See], Iterator[Opened]]] = {
    "voc": lambda path, source, see: _closed(datasets.voc(path, source.split)),
    "coco-yolo": lambda path, source, see: _closed(datasets.coco_yolo(path, source.split)),
    "kitti-cyclists": lambda path, source, see: kitti_cyclists(path, source.split, see),
    "penn-fudan": lambda path, source, see: _closed(datasets.pennfudan(path)),
    "photos": lambda path, source, see: _closed(datasets.photos(datasets.pictures(path))),
    "video": lambda path, source, see: _closed(datasets.video_frames(path, source.every)),
    "flickr8k": lambda path, source, see: _closed(datasets.photos(_listed(path))),
}


def gather(recipe: RecipeFile, data: Path, cache: Path) -> Iterator[LabelledPicture]:
    """All pictures of a recipe.

    Args:
        recipe: which ones.
        data: folder of the data sets and teachers.
        cache: folder for the teachers' outputs, named by the picture's hash.

    Raises:
        DatasetError: a data set is missing.
        ModelNotFound, ModelRefused, ExportError: a teacher is missing, or is not a detector.
    """
    cache.mkdir(parents=True, exist_ok=True)
    models = [open_detector(data / model) for model in recipe.teachers.models]
    teachers = Teachers(tuple(Teacher.of(engine, VOC) for engine in models))
    for source in (source for group in recipe.groups for source in group.data):
        datasets.existing(data / source.path)  # before the teachers spend half an hour on the first one
    for number, group in enumerate(recipe.groups):
        for source in group.data:

            def see(image: Image, closely: bool = source.closely) -> Labels:
                return _seen(image, teachers, closely, cache, recipe.teachers.ignore)

            for sample, opened in LAYOUTS[source.layout](data / source.path, source, see):
                add = _overlooked if source.labelled else _added
                labelled = add(sample, see(sample.image), recipe.teachers)
                yield _picture(labelled, opened, source, number, group.share)


def _closed(samples: Iterator[Sample]) -> Iterator[Opened]:
    return ((sample, NONE_OPEN) for sample in samples)


def _seen(image: Image, teachers: Teachers, closely: bool, cache: Path, least: float) -> Labels:
    """What the teachers see in a picture, now or in an earlier run."""
    file = cache / f"{hashlib.sha256(image.tobytes()).hexdigest()[:24]}.npz"
    if not file.is_file():
        looks = teachers.look(image, closely)
        with replacing(file) as part, part.open("wb") as complete:
            np.savez(complete, **vars(looks))
    with np.load(file) as found:
        looks = Looks(**{name: found[name] for name in ("windows", "boxes", "scores", "classes", "look")})
    return fuse(looks, least)


def _listed(folder: Path) -> Iterator[Path]:
    for split in ("train", "dev"):
        for line in datasets.existing(folder / f"Flickr_8k.{split}Images.txt").read_text().splitlines():
            if (file := folder / "images" / line.strip()).is_file():
                yield file


def _added(sample: Sample, seen: Labels, limits: Labelling) -> tuple[Sample, NDArray[np.float32]]:
    """The sample with the teachers' boxes added: labels that count by their scores, and uncertain ones to ignore."""
    new = iou(seen.boxes, sample.boxes).max(axis=1, initial=0) <= TAKEN
    added = Sample(
        sample.image,
        np.concatenate([sample.boxes, seen.boxes[new]]),
        np.concatenate([sample.classes, seen.classes[new]]),
        np.concatenate([sample.ignore, seen.scores[new] < limits.keep]),
    )
    sure = np.minimum(seen.scores[new] / limits.certain, 1)
    return added, np.concatenate([np.ones(len(sample.boxes), np.float32), sure]).astype(np.float32)


def _overlooked(sample: Sample, seen: Labels, limits: Labelling) -> tuple[Sample, NDArray[np.float32]]:
    """A picture that people labelled, with the boxes that only teachers are certain of added, to be ignored."""
    certain = seen.scores >= limits.overlooked
    both, sure = _added(sample, Labels(seen.boxes[certain], seen.scores[certain], seen.classes[certain]), limits)
    ignore = both.ignore.copy()
    ignore[len(sample.boxes) :] = True
    return Sample(both.image, both.boxes, both.classes, ignore), sure


def _picture(
    labelled: tuple[Sample, NDArray[np.float32]], opened: NDArray[np.bool_], source: Source, group: int, share: float
) -> LabelledPicture:
    sample, sure = labelled
    image, scale = sample.image, min(1.0, LONGEST / max(sample.image.shape[:2]))
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].reshape(-1)
    boxes = (sample.boxes * scale).astype(np.float32)
    squashed = math.log(source.squashed)
    return LabelledPicture(
        jpeg, boxes, sample.classes, sure, sample.ignore, opened, group, squashed, source.often, share
    )
