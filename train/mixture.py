"""The pictures the shipped detector learns from, in three groups that are drawn with fixed shares.

Within a group, pictures of rare classes are drawn more often: repeat factor sampling (Gupta, Dollar and Girshick,
"LVIS", 2019, section 5).

Folders are those of the data sets as published: voc2012-animals, coco128, pennfudan, camvid, flickr8k, videos.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.train import datasets
from watchline.train.datasets import Sample
from watchline.train.teachers import IGNORE, KEEP, Teachers

SHARES = (0.40, 0.30, 0.30)  # of photos, street, everyday
COMMON = 0.2  # share of the pictures from which a class counts as common
MOST = 8.0  # times that a picture of the rarest class is as likely as others


@dataclass(frozen=True)
class Mixture:
    """Attributes: photos (VOC, COCO: labelled), street (CamVid, Penn-Fudan, videos), everyday (Flickr8k)."""

    photos: list[Sample]
    street: list[Sample]
    everyday: list[Sample]

    @property
    def groups(self) -> tuple[list[Sample], list[Sample], list[Sample]]:
        return self.photos, self.street, self.everyday

    @cached_property
    def _cumulative(self) -> list[NDArray[np.float64]]:
        """Of each group, the running sum of its pictures' probabilities."""
        factors = repeat_factors([_classes(sample) for group in self.groups for sample in group])
        parts = np.split(factors, np.cumsum([len(group) for group in self.groups])[:-1])
        return [np.cumsum(part / part.sum()) for part in parts]

    def draw(self, rng: np.random.Generator) -> Sample:
        """A picture: first a group by SHARES, then one of its pictures by their repeat factors."""
        group = int(rng.choice(len(SHARES), p=SHARES))
        place = int(np.searchsorted(self._cumulative[group], rng.random()))
        return self.groups[group][min(place, len(self.groups[group]) - 1)]


def repeat_factors(classes: Sequence[set[int]]) -> NDArray[np.float64]:
    """How much more often than others each picture is to be drawn.

    Args:
        classes: the classes in each picture.

    Returns:
        (N,) max over a picture's classes c of sqrt(COMMON / f(c)), f the share of pictures that hold c; 1 to MOST.
    """
    counts = Counter(c for found in classes for c in found)
    factor = {c: (COMMON * len(classes) / count) ** 0.5 for c, count in counts.items()}
    return np.array([min(max([1.0, *(factor[c] for c in found)]), MOST) for found in classes])


def _classes(sample: Sample) -> set[int]:
    return set(sample.classes[~sample.ignore].tolist())


def load(data: Path, cache: Path) -> Mixture:
    """Read everything under `data`; teachers under `data/weights/onnx` label what has no labels.

    Only training splits are read. Pictures that are measured on are never opened here.
    """
    teachers = Teachers.load(data / "weights" / "onnx")

    def taught(samples: Iterable[Sample]) -> list[Sample]:
        return list(datasets.pseudo_labelled(samples, teachers.label, KEEP, IGNORE, cache))

    photos = [*datasets.voc(data / "voc2012-animals", "train"), *datasets.coco_yolo(data / "coco128", "train2017")]
    street = taught(
        chain(
            datasets.photos(sorted((data / "camvid" / "train").glob("*.jpg"))),
            datasets.pennfudan(data / "pennfudan"),
            datasets.video_frames(data / "videos" / "intel_car-detection.mp4", every=3),
            datasets.video_frames(data / "videos" / "intel_one-by-one-person-detection.mp4", every=8),
        )
    )
    listed = [
        line.strip()
        for split in ("train", "dev")
        for line in (data / "flickr8k" / f"Flickr_8k.{split}Images.txt").read_text().splitlines()
    ]
    files = (data / "flickr8k" / "images" / name for name in listed)
    everyday = taught(datasets.photos(f for f in files if f.is_file()))
    return Mixture(photos, street, everyday)
