"""KITTI's street pictures with cyclists, whose boxes contain rider and bicycle together.

VOC has a class for each. The person is the teachers' box of a person there, or else the box without its lowest part.
The bicycle is the teachers' box of a bicycle, or else the lower 60 % of the box. Parked bicycles and far objects have
no boxes, so outside of the boxes nothing counts as background for the classes of streets.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import area, intersection, iou
from watchline.ops.voc import VOC
from watchline.train import datasets
from watchline.train.datasets import Image, Sample
from watchline.train.teachers import Labels

NAMES = {
    "Car": "car",
    "Van": "car",
    "Truck": "car",
    "Pedestrian": "person",
    "Person_sitting": "person",
    "Tram": "train",
}
OPEN = ("bicycle", "person", "car", "motorbike")
PERSON, BICYCLE = VOC.index("person"), VOC.index("bicycle")
LOWER, LEGS = 0.6, 0.12  # shares of a cyclist's height: the bicycle, and the part under the feet
TRUSTED = 0.2  # score from which a teacher's box inside a cyclist's is used


def kitti_cyclists(
    folder: Path, split: str, seen: Callable[[Image], Labels]
) -> Iterator[tuple[Sample, NDArray[np.bool_]]]:
    """The pictures of `split`.txt, and the classes that are open in them (see `LabelledPicture.open`).

    Args:
        folder: with `images`, `labels` (YOLO text), `names.txt` and the split files.
        split: "train" or "test".
        seen: returns the teachers' labels of a picture.
    """
    names = datasets.existing(folder / "names.txt").read_text().split()
    opened = np.isin(VOC, OPEN)
    for stem in datasets.existing(folder / f"{split}.txt").read_text().split():
        [sample] = datasets.photos([folder / "images" / f"{stem}.jpg"])
        height, width = sample.image.shape[:2]
        rows: list[tuple[NDArray[np.float32], int, bool]] = []
        labels = seen(sample.image)
        for line in (folder / "labels" / f"{stem}.txt").read_text().splitlines():
            name, x, y, w, h = names[int(line.split()[0])], *(float(v) for v in line.split()[1:])
            box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2], np.float32)
            box = box * np.array([width, height] * 2, np.float32)
            if name == "Cyclist":
                person, bicycle = split_cyclist(box, labels)
                rows += [(person, PERSON, False), (bicycle, BICYCLE, False)]
            else:
                rows.append((box, VOC.index(NAMES.get(name, "car")), name not in NAMES))
        boxes = np.array([r[0] for r in rows], np.float32).reshape(-1, 4)
        classes, ignore = np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], bool)
        yield Sample(sample.image, boxes, classes, ignore), opened


def split_cyclist(cyclist: NDArray[np.float32], seen: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boxes of the person and of the bicycle in a cyclist's box (4,)."""
    inside = intersection(seen.boxes, cyclist[None])[:, 0] / np.maximum(area(seen.boxes), 1e-6) > 0.7
    sure = inside & (seen.scores >= TRUSTED)
    x1, y1, x2, y2 = cyclist
    person = np.array([x1, y1, x2, y2 - LEGS * (y2 - y1)], np.float32)
    bicycle = np.array([x1, y2 - LOWER * (y2 - y1), x2, y2], np.float32)
    return (
        _like(person, seen, sure & (seen.classes == PERSON)),
        _like(bicycle, seen, sure & (seen.classes == BICYCLE)),
    )


def _like(guess: NDArray[np.float32], seen: Labels, which: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The teachers' box that overlaps the guess most; the guess if no overlap is more than 0.4."""
    overlap = np.where(which, iou(seen.boxes, guess[None])[:, 0], 0)
    return seen.boxes[overlap.argmax()] if overlap.max(initial=0) > 0.4 else guess
