"""Labelled pictures, whatever their layout: what every reader in this folder gives."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.ops.boxes import Boxes
from watchline.ops.masks import Masks
from watchline.ops.precision_recall import Rule
from watchline.streams.frame import ArrayPicture, Image, Picture
from watchline.streams.layouts.yolo import photos_in
from watchline.streams.photo import SUFFIXES

MOST_TEXT = 1 << 24  # bytes of a file of labels
ALL = "all"  # the split of a layout that has none
NO_PIXELS = ArrayPicture(np.empty((1, 1, 3), np.uint8))  # instead of those of a picture that was looked at


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture and what is in it.

    Attributes:
        name: of its file, with the folders below that of the photos, and without suffix unless another photo has this
            name; of a video's frame, its number from 0.
        picture: its pixels.
        boxes: (M, 4) float32 xyxy in pixels, half-open.
        names: M class names, as the data set spells them.
        difficult: (M,) bool: need not be found (VOC's difficult objects, COCO's crowds).
        areas: (M,) float64 square pixels, as the data set has them; None for those of the boxes.
        masks: gives the pixels of the M objects; None where the data set has none.
    """

    name: str
    picture: Picture
    boxes: Boxes
    names: tuple[str, ...]
    difficult: NDArray[np.bool_]
    areas: NDArray[np.float64] | None = None
    masks: Callable[[], Masks] | None = None

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 BGR."""
        return self.picture.bgr()


@dataclass(frozen=True, slots=True)
class DataSet:
    """The labelled pictures of a split.

    Attributes:
        name: of the folder.
        layout: e.g. "VOC".
        split: that was chosen.
        rule: by which figures on data in this layout are usually given.
        count: how many pictures there are; of a video, as its header says, for progress only.
        read: reads them one by one, in the same order each time.
        is_video: they are frames of a video, so neighbours are alike.
    """

    name: str
    layout: str
    split: str
    rule: Rule
    count: int
    read: Callable[[], Iterator[Labelled]]
    is_video: bool = False


def chosen(data: Path, split: str | None, there: Sequence[str], usual: Sequence[str] = ("val", "test")) -> str:
    """The split to read: the one asked for, else the first that begins with a usual name, else the first.

    Args:
        there: splits of the data, one or more.

    Raises:
        DataNotFound: there is no such split.
    """
    if split is None:
        return next((name for begin in usual for name in there if name.startswith(begin)), there[0])
    if split not in there:
        raise DataNotFound(f"{data} has no split {split!r}: expected one of {', '.join(there)}")
    return split


def read_text(file: Path, most: int = MOST_TEXT) -> str:
    """A file of labels as text. Raises DataRefused: it cannot be read, is not UTF-8, or has more than `most` bytes."""
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
        if len(content) > most:
            raise ValueError(f"it has more than {most >> 20} MiB")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataRefused(f"{file}: it cannot be read as text ({error}); expected labels in UTF-8") from error


def names_of(photos: Sequence[PurePath]) -> list[str]:
    """The names of photos, with their folders: without suffix, but of those that would have one name with it."""
    bare = [(photo.with_suffix("") if photo.suffix.lower() in SUFFIXES else photo).as_posix() for photo in photos]
    several = Counter(bare)
    return [photo.as_posix() if several[name] > 1 else name for name, photo in zip(bare, photos, strict=True)]


def photos_of(folder: Path) -> list[Path]:
    """The photos in a folder and below it, by name: those that training reads. Raises DataNotFound: there are none."""
    found = photos_in(folder)
    if not found:
        raise DataNotFound(f"{folder} holds no pictures: expected {', '.join(sorted(SUFFIXES))}")
    return found
