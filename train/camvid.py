"""CamVid: street scenes whose every pixel has a class; Brostow et al., "Semantic Object Classes in Video" (2009).

The layout is SegNet's: pictures in `train`, `val` and `test`, their classes as one number a pixel in `trainannot`,
`valannot` and `testannot`, in PNGs of the same names. Eleven classes and void, which is 11, as SegNet has them.

    scenes = read(Path("camvid"), "train")
    scenes[0].image, scenes[0].classes
"""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import DatasetError
from watchline.ops.boxes import Boxes
from watchline.ops.camvid import VOID
from watchline.streams.layouts.yolo import photos_in, photos_listed

SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True)
class Scene:
    """A picture and the classes of its pixels.

    Attributes:
        name: of its files, without suffix.
        image: (H, W, 3) uint8 BGR.
        classes: (H, W) uint8, numbers in `ops.camvid.CAMVID`, or its VOID.
        soft: (h, w, K) uint8, what a trained segmenter sees (`train/soft_labels.py`); K is 0 where none does.
        boxes: (N, 4) float32 xyxy in pixels, of objects that it may not see well (`train/road_users.py`).
        kinds: (N,) int64, their classes.
    """

    name: str
    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    soft: NDArray[np.uint8] = field(default_factory=lambda: np.empty((1, 1, 0), np.uint8))
    boxes: Boxes = field(default_factory=lambda: np.empty((0, 4), np.float32))
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def read(folder: Path, split: str) -> list[Scene]:
    """All scenes of a split, in the order of their names.

    Raises:
        DatasetError: the folder is not in this layout, or one of its files is missing, broken or of another size.
    """
    pictures, annotations = folder / split, folder / f"{split}annot"
    files = sorted(f for f in pictures.glob("*") if f.suffix in SUFFIXES) if pictures.is_dir() else []
    if not files or not annotations.is_dir():
        raise DatasetError(
            f"{folder}: no pictures in {split} with their classes in {split}annot; expected CamVid in SegNet's layout"
        )
    return [_scene(file, annotations / f"{file.stem}.png") for file in files]


def unlabelled(place: Path, height: int) -> list[Scene]:
    """Pictures without labels, whose every pixel is void.

    Args:
        place: a folder with the pictures in it and below it; or a list of them, a text file with a path in each line.
        height: in pixels, that they are scaled to.

    Raises:
        DatasetError: there are none, or one is missing or broken.
    """
    files = photos_listed(place.read_text(errors="replace"), place, []) if place.is_file() else photos_in(place)
    if not files:
        raise DatasetError(f"{place}: no pictures; expected a folder of them, or a text file with a path in each line")
    return [without_classes(file, height) for file in files]


def without_classes(file: Path, height: int) -> Scene:
    """A picture whose every pixel is void, scaled to this height. Raises DatasetError: it is missing or broken."""
    image = _read(file)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return Scene(file.stem, np.asarray(scaled, np.uint8), np.full((height, width), VOID, np.uint8))


def _read(picture: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{picture}: it cannot be read as a picture; get or copy it again")
    return np.asarray(image, np.uint8)


def _scene(picture: Path, annotation: Path) -> Scene:
    image = _read(picture)
    classes = cv2.imread(str(annotation), cv2.IMREAD_UNCHANGED)
    if classes is None:
        raise DatasetError(f"{annotation}: it is missing or broken; expected the classes of {picture.name}")
    if classes.shape != image.shape[:2] or classes.dtype != np.uint8 or classes.max() > VOID:
        raise DatasetError(
            f"{annotation}: {classes.shape} {classes.dtype} up to {classes.max()}; expected {image.shape[:2]} uint8, "
            f"a number up to {VOID} for each pixel of {picture.name}"
        )
    return Scene(picture.stem, image, np.asarray(classes, np.uint8))
