"""Penn-Fudan's layout: photos in `images`, and `masks` whose pixels are a pedestrian's number (ops/penn_fudan.py).

Its objects are persons. A box is the extent of a mask.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from watchline.measure.errors import DataRefused
from watchline.measure.layouts.labelled import DataSet, Labelled, chosen, photos_of
from watchline.ops import penn_fudan
from watchline.streams.frame import ArrayPicture
from watchline.streams.layouts.penn_fudan import PHOTOS, has_masks, mask_file
from watchline.streams.photo import read_photo

EXPECTED = "Penn-Fudan's (images, masks)"
PERSON = "person"


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout."""
    return has_masks(data)


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`; the test is the last fifty photos."""
    split = chosen(data, split, penn_fudan.SPLITS)
    photos = penn_fudan.of_split(photos_of(data / PHOTOS), split)[::every]

    def read() -> Iterator[Labelled]:
        return (_labelled(photo, mask_file(photo)) for photo in photos)

    return DataSet(data.resolve().name, "Penn-Fudan", split, "coco", len(photos), read)


def _labelled(photo: Path, file: Path) -> Labelled:
    plane = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    image = read_photo(photo).pixels
    if plane is None or plane.shape != image.shape[:2]:
        raise DataRefused(f"{file}: expected a picture of one channel, of the size of {photo.name}")
    masks = penn_fudan.masks_of(np.asarray(plane, np.uint8))
    return Labelled(
        photo.stem,
        ArrayPicture(image),
        masks.extent.astype(np.float32),
        (PERSON,) * len(masks),
        np.zeros(len(masks), np.bool_),
        masks.area.astype(np.float64),
        lambda: masks,
    )
