"""The pictures the shipped detector learns from, in three groups that are drawn with fixed shares.

Folders are those of the data sets as published: voc2012-animals, coco128, pennfudan, camvid, flickr8k, videos.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from watchline.train import datasets
from watchline.train.datasets import Sample
from watchline.train.teachers import IGNORE, KEEP, Teachers

SHARES = (0.40, 0.30, 0.30)  # of photos, street, everyday


@dataclass(frozen=True)
class Mixture:
    """Attributes: photos (VOC, COCO: labelled), street (CamVid, Penn-Fudan, videos), everyday (Flickr8k)."""

    photos: list[Sample]
    street: list[Sample]
    everyday: list[Sample]

    @property
    def groups(self) -> tuple[list[Sample], list[Sample], list[Sample]]:
        return self.photos, self.street, self.everyday


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
