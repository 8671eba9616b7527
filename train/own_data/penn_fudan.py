"""Reads Penn-Fudan's photos of pedestrians (streams/layouts/penn_fudan.py): a box is the extent of a mask.

Photos that are kept for tests (`ops/penn_fudan.py`) are left out.
"""

from pathlib import Path

import cv2
import numpy as np

from watchline.models.errors import DatasetError
from watchline.ops.penn_fudan import masks_of, of_split
from watchline.streams.layouts.penn_fudan import PHOTOS, mask_file
from watchline.train.datasets import pictures, read_picture
from watchline.train.own_data.labels import Labels, Layout

NAME = "person"


def read(folder: Path) -> Layout:
    """The labels of a folder."""
    layout = Layout((NAME,))
    for photo in of_split(pictures(folder / PHOTOS), "train"):
        file = mask_file(photo)
        try:
            plane = read_picture(file, cv2.IMREAD_UNCHANGED)
        except DatasetError as error:
            layout.problems.append(str(error))
            continue
        if plane.ndim != 2:
            layout.problems.append(f"{file}: it has {plane.shape[2]} channels; expected one, the pedestrians' numbers")
            continue
        boxes = masks_of(plane).extent.astype(np.float64)
        count = len(boxes)
        rows = tuple(f"{file} pedestrian {number}" for number in range(1, count + 1))
        size = plane.shape[1], plane.shape[0]
        layout.train.append(
            Labels(photo, rows, boxes, False, np.zeros(count, np.int64), np.zeros(count, np.bool_), size)
        )
    return layout
