"""Reads Penn-Fudan's photos of pedestrians: `images`, and `masks` whose pixels are the number of a pedestrian.

Photos that are kept for tests (`ops/penn_fudan.py`) are left out.
"""

from pathlib import Path

import cv2
import numpy as np

from watchline.models.errors import DatasetError
from watchline.ops.penn_fudan import of_split
from watchline.train.datasets import pictures, read_picture
from watchline.train.own_data.labels import Labels, Layout, table

NAME = "person"


def is_penn_fudan(folder: Path) -> bool:
    """Whether a folder has photos and masks."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def read(folder: Path) -> Layout:
    """The labels of a folder: a pedestrian's box is the extent of its mask."""
    layout = Layout((NAME,))
    for photo in of_split(pictures(folder / "images"), "train"):
        file = folder / "masks" / f"{photo.stem}.png"
        try:
            mask = read_picture(file, cv2.IMREAD_UNCHANGED)
        except DatasetError as error:
            layout.problems.append(str(error))
            continue
        boxes = []
        for number in range(1, int(mask.max()) + 1):
            x, y, w, h = cv2.boundingRect(np.equal(mask, number).astype(np.uint8))
            boxes.append([x, y, x + w, y + h])
        count = len(boxes)
        rows = tuple(f"{file} pedestrian {number}" for number in range(1, count + 1))
        size = mask.shape[1], mask.shape[0]
        layout.train.append(
            Labels(photo, rows, table(boxes), False, np.zeros(count, np.int64), np.zeros(count, np.bool_), size)
        )
    return layout
