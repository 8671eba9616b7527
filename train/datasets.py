"""Reads training and test pictures with boxes, in the layouts in which they are published.

Every reader yields `Sample`s: a picture, and boxes in VOC's twenty classes, in pixels, xyxy, half-open.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.errors import unknown
from watchline.models.errors import DatasetError
from watchline.ops.coco import COCO, coco_to_voc
from watchline.ops.errors import AnnotationRefused
from watchline.ops.penn_fudan import masks_of
from watchline.ops.voc import VOC
from watchline.ops.voc_annotation import parse
from watchline.streams.layouts.penn_fudan import mask_file
from watchline.streams.layouts.voc import annotation_file, names_in, photo_of
from watchline.streams.layouts.yolo import row

SLACK = 1.0  # sides of its picture that a coordinate may be outside
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        boxes: (N, 4) float32 xyxy in pixels.
        classes: (N,) int64, VOC's alphabetical order.
        ignore: (N,) bool: counts neither as object nor as background (`difficult` in VOC, uncertain teachers).
    """

    image: Image
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def voc(folder: Path, split: str) -> Iterator[Sample]:
    """A folder in VOC's layout: `JPEGImages`, `Annotations`, `ImageSets/Main/{split}.txt`."""
    listing = existing(folder / "ImageSets" / "Main" / f"{split}.txt")
    for name in names_in(listing.read_text()):
        file = existing(annotation_file(folder, name))
        try:
            found = parse(file.read_bytes())
        except AnnotationRefused as error:
            raise DatasetError(f"{file} {error}") from error
        if wrong := [unknown("class", name, VOC) for name in found.names if name not in VOC]:
            raise DatasetError(f"{file}: {wrong[0]}; expected VOC's twenty classes")
        classes = np.array([VOC.index(name) for name in found.names], np.int64)
        yield Sample(read_picture(photo_of(folder, name)), found.boxes, classes, found.difficult)


def coco_yolo(folder: Path, split: str) -> Iterator[Sample]:
    """COCO photos with YOLO label files (class, centre x, centre y, width, height; 0..1), mapped to VOC's classes."""
    ours = coco_to_voc()
    for path in pictures(folder / "images" / split):
        image = read_picture(path)
        size = np.array(image.shape[1::-1] * 2)
        labels = folder / "object_detection" / "labels" / split / f"{path.stem}.txt"
        lines = labels.read_text().splitlines() if labels.is_file() else []
        try:
            found = [row(line, len(COCO), SLACK) for line in lines]
        except ValueError as error:
            raise DatasetError(f"{labels}: {error}") from error
        yield _sample(image, [[*(box * size), ours[number]] for number, box in found if number in ours])


def pennfudan(folder: Path) -> Iterator[Sample]:
    """Street photos with pedestrian masks (pixel = number of the pedestrian). A box is the extent of a mask."""
    for path in pictures(folder / "images"):
        boxes = masks_of(read_picture(mask_file(path), cv2.IMREAD_UNCHANGED)).extent
        yield _sample(read_picture(path), [[*box, VOC.index("person")] for box in boxes.tolist()])


def photos(paths: Iterable[Path]) -> Iterator[Sample]:
    """Photos without labels."""
    for path in paths:
        yield _sample(read_picture(path), [])


def video_frames(path: Path, every: int) -> Iterator[Sample]:
    """Every n-th frame of a video, without labels."""
    capture = cv2.VideoCapture(str(existing(path)))
    index = 0
    while capture.grab():
        if index % every == 0:
            yield _sample(np.asarray(capture.retrieve()[1], np.uint8), [])
        index += 1


def _sample(image: Image, rows: list[list[float]]) -> Sample:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Sample(image, table[:, :4], table[:, 4].astype(np.int64), np.zeros(len(table), bool))


def existing(path: Path) -> Path:
    """Returns the path. Raises DatasetError: there is no such file or folder."""
    if not path.exists():
        raise DatasetError(f"{path} is missing: expected a complete data set, laid out as it is published")
    return path


def pictures(folder: Path) -> list[Path]:
    """The photos of a folder, by name."""
    return sorted(p for p in existing(folder).iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})


def read_picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> Image:
    """Read a picture. Raises DatasetError: it is missing or broken."""
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DatasetError(f"{path} is missing, or not a picture that OpenCV can read")
    return np.asarray(image, np.uint8)
