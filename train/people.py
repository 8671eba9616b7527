"""Photos of people with their pixels: Penn-Fudan's street photos, and COCO's polygons.

samples = [*penn_fudan(folder, "train"), *coco_polygons(folder, "train2017")]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import DatasetError
from watchline.ops.penn_fudan import of_split
from watchline.train.datasets import Image, existing, pictures, read_picture

PERSON = 1  # COCO's number of the class in the files of its polygons
Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class Masked:
    """A photo with its people's pixels.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        plane: (H, W) uint8, the number of the person at each pixel, from 1; 0 is the background.
        name: of the file, without its suffix.
    """

    image: Image
    plane: Plane
    name: str

    @property
    def numbers(self) -> list[int]:
        """Of the people."""
        return [number for number in np.unique(self.plane).tolist() if number > 0]


def read(folder: Path, split: str) -> list[Masked]:
    """A folder in the layout of Penn-Fudan (`images`, `masks`) or of COCO's polygons (`instance_segmentation`).

    Args:
        split: "train" or "test"; COCO's test is `val2017`.

    Raises:
        DatasetError: it is in neither layout, or a file is broken.
    """
    if (folder / "masks").is_dir():
        return list(penn_fudan(folder, split))
    if (folder / "instance_segmentation").is_dir():
        return list(coco_polygons(folder, "train2017" if split == "train" else "val2017"))
    raise DatasetError(
        f"{folder}: not a data set with masks; expected Penn-Fudan's layout (images, masks) "
        "or that of COCO's polygons (images, instance_segmentation)"
    )


def penn_fudan(folder: Path, split: str) -> Iterator[Masked]:
    """Photos with a plane whose pixels are the number of the pedestrian. Args: split, "train" or "test".

    Raises:
        DatasetError: the folder is not laid out so, or a file is broken.
    """
    for path in of_split(pictures(folder / "images"), split):
        image, plane = read_picture(path), read_picture(folder / "masks" / f"{path.stem}.png", cv2.IMREAD_UNCHANGED)
        if plane.shape != image.shape[:2]:
            raise DatasetError(f"{path}: {image.shape[:2]} and its mask {plane.shape}: expected one size")
        yield Masked(image, plane, path.stem)


def _people(labels: Path) -> list[str]:
    """The lines of a file that are about people. Raises DatasetError: it cannot be read."""
    try:
        return [line for line in labels.read_text().splitlines() if line.split()[:1] == [str(PERSON)]]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{labels}: {error}; expected a file of polygons") from error


def _outline(line: str, labels: Path) -> NDArray[np.float64]:
    """(N, 2) corners in 0..1. Raises DatasetError: they are none."""
    try:
        corners = np.array(line.split()[1:], np.float64)
        if len(corners) >= 6 and len(corners) % 2 == 0 and np.isfinite(corners).all():
            return corners.reshape(-1, 2)
    except ValueError:
        pass
    raise DatasetError(f"{labels}: {line[:40]!r}: expected a class and three or more corners, x and y of each")


def coco_polygons(folder: Path, split: str) -> Iterator[Masked]:
    """COCO photos with a file of polygons each: a class and the corners in 0..1 per line; people alone are read.

    Where people overlap, the smaller one is in front.
    """
    for path in pictures(folder / "images" / split):
        labels = existing(folder / "instance_segmentation" / "labels" / split) / f"{path.stem}.txt"
        if not labels.is_file():  # some photos have no polygons
            continue
        image = read_picture(path)
        height, width = image.shape[:2]
        people = [_outline(line, labels) * (width, height) for line in _people(labels)]
        people = [np.rint(outline).astype(np.int32) for outline in people]
        plane = np.zeros((height, width), np.uint8)
        for front, polygon in enumerate(sorted(people, key=lambda outline: -cv2.contourArea(outline)), 1):
            cv2.fillPoly(plane, [polygon], front)
        yield Masked(image, plane, path.stem)
