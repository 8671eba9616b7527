"""Pictures with boxes of road users, and what a box says of the pixels in it.

What a trained segmenter sees in pictures of other streets (`train/soft_labels.py`) is worst where people are close or
on bicycles. Boxes that people drew correct it: a pixel in a box is probably of the box's class, most of all in the
middle, and who is in a cyclist's box is no pedestrian.

    scenes = read([Path("street/data.yaml")], height=360)
    corrected(soft, scenes[0].boxes / CELL, scenes[0].kinds)
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import DatasetError
from watchline.ops.boxes import Boxes
from watchline.ops.camvid import CAMVID
from watchline.train import camvid
from watchline.train.camvid import Scene
from watchline.train.own_data import dataset

CAR, PEDESTRIAN, BICYCLIST = (CAMVID.index(name) for name in ("car", "pedestrian", "bicyclist"))
KINDS = {  # classes of data sets, in small letters; others are not used
    "car": CAR,
    "van": CAR,
    "truck": CAR,
    "bus": CAR,
    "person": PEDESTRIAN,
    "pedestrian": PEDESTRIAN,
    "person_sitting": PEDESTRIAN,
    "cyclist": BICYCLIST,
    "bicyclist": BICYCLIST,
}


class Filled(NamedTuple):
    """How an object fills its box.

    Attributes:
        odds: factor on the odds of its class in the middle.
        reach: distance from the middle, as a share of the box's width, at which most of that factor is gone.
    """

    odds: float
    reach: float


FILLED = {CAR: Filled(8, 0.6), PEDESTRIAN: Filled(20, 0.38), BICYCLIST: Filled(40, 0.42)}
HEIGHT = 0.55  # the same distance upwards, as a share of the height: objects are as high as their boxes
MARGIN = 0.03  # by which a box is larger than it was drawn, as a share of its sides


def read(places: Sequence[Path], height: int) -> list[Scene]:
    """The training pictures of data sets with boxes, as scenes whose every pixel is void.

    Args:
        places: in the layouts of `own_data/dataset.py`. A "person" is a pedestrian, riders are "cyclist" or
            "bicyclist"; "car", "van", "truck" and "bus" are CamVid's car.
        height: in pixels, that they are scaled to.

    Raises:
        DatasetError: something is wrong with the data, or none of its classes is one of these.
    """
    data = dataset.read(places, measured=False)
    kinds = np.array([KINDS.get(name.lower(), -1) for name in data.names])
    if (kinds < 0).all():
        raise DatasetError(
            f"{', '.join(map(str, places))}: boxes of {', '.join(data.names)}; expected some of {', '.join(KINDS)}"
        )
    scenes = []
    for file in data.train:
        used = (kinds[file.classes] >= 0) & ~file.ignore
        boxes = file.boxes[used] * np.float32(height / file.size[1])
        scenes.append(replace(camvid.without_classes(file.path, height), boxes=boxes, kinds=kinds[file.classes[used]]))
    return scenes


def corrected(soft: NDArray[np.uint8], boxes: Boxes, kinds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Soft labels, after what the boxes say.

    Args:
        soft: (h, w, len(CAMVID)) uint8, probabilities in units of 1/255.
        boxes: (N, 4) xyxy in cells of `soft`.
        kinds: (N,) the boxes' classes, keys of FILLED.
    """
    if not len(boxes):
        return soft
    likely = soft.astype(np.float32)
    height, width = soft.shape[:2]
    x1, y1, x2, y2 = boxes.T[:, :, None, None]  # (N, 1, 1) each
    across = np.abs(np.arange(width) + 0.5 - (x1 + x2) / 2) / (x2 - x1)  # (N, 1, width)
    down = np.abs(np.arange(height)[:, None] + 0.5 - (y1 + y2) / 2) / (y2 - y1)  # (N, height, 1)
    inside = np.maximum(across, down) < 0.5 + MARGIN
    riding, walking = (inside[kinds == kind].any(0) for kind in (BICYCLIST, PEDESTRIAN))
    for here, wrong, right in ((riding & ~walking, PEDESTRIAN, BICYCLIST), (walking & ~riding, BICYCLIST, PEDESTRIAN)):
        likely[here, right] += likely[here, wrong]
        likely[here, wrong] = 0
    for kind, dx, dy in zip(kinds.tolist(), across, down, strict=True):
        odds, reach = FILLED[kind]
        likely[..., kind] *= 1 + (odds - 1) * np.exp(-((dx / reach) ** 4) - (dy / HEIGHT) ** 4)
    return np.asarray((likely * (255 / likely.sum(2, keepdims=True))).round(), np.uint8)
