"""CDnet's layout: frames in `input` and masks of what moves in `groundtruth`; Goyette et al., "changedetection.net".

The frames are those of `temporalROI.txt`, else all that have a mask. An object is a connected component of moving
pixels (255), so objects that touch are one. The data set has no classes: all objects are `moving`.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, photos_of, read_text
from watchline.ops.masks import Masks
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

EXPECTED = "CDnet's (input, groundtruth)"
MOVING = "moving"
WHITE = 255  # of a moving pixel; shadows, unknown pixels and those outside the region have other numbers
LEAST_PIXELS = 80  # of an object: fewer are noise of the masks' edges


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout."""
    return (data / "input").is_dir() and (data / "groundtruth").is_dir()


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`."""
    split = chosen(data, split, [ALL])
    photos = {_number(photo): photo for photo in photos_of(data / "input")}
    planes = {_number(plane): plane for plane in photos_of(data / "groundtruth")}
    first, last = _period(data / "temporalROI.txt", min(planes), max(planes))
    frames = [number for number in sorted(planes) if first <= number <= last][::every]
    if missing := next((number for number in frames if number not in photos), None):
        raise DataNotFound(f"{planes[missing]} has no frame: expected a picture of the same number in {data / 'input'}")
    if not frames:
        raise DataRefused(
            f"{data / 'temporalROI.txt'} says {first} to {last}: expected numbers of masks that are there"
        )

    def read() -> Iterator[Labelled]:
        return (_labelled(photos[number], planes[number]) for number in frames)

    return DataSet(data.resolve().name, "CDnet", split, "voc2010", len(frames), read, is_video=True)


def _number(file: Path) -> int:
    """Of a frame: `in000470.jpg` and `gt000470.png` are of one."""
    digits = file.stem[2:]
    if not (digits.isascii() and digits.isdigit()):
        raise DataRefused(f"{file}: expected names such as in000001.jpg and gt000001.png")
    return int(digits)


def _period(file: Path, first: int, last: int) -> tuple[int, int]:
    """Numbers of the first and the last frame that have sound masks."""
    if not file.is_file():
        return first, last
    words = read_text(file).split()
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise DataRefused(f"{file}: {' '.join(words)[:40]!r}; expected the first and the last frame, e.g. 470 1700")
    return int(words[0]), int(words[1])


def _labelled(photo: Path, file: Path) -> Labelled:
    image = read_photo(photo).pixels
    mask = read_photo(file).pixels
    if mask.shape != image.shape:
        raise DataRefused(f"{file}: {mask.shape[1]} x {mask.shape[0]} pixels; expected the size of {photo.name}")
    moving = np.equal(mask[..., 0], WHITE).astype(np.uint8)
    _, numbers, about, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
    kept = [n for n in range(1, len(about)) if about[n, cv2.CC_STAT_AREA] >= LEAST_PIXELS]
    corner, size = about[kept, :2], about[kept, 2:4]
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    areas = about[kept, cv2.CC_STAT_AREA].astype(np.float64)
    nothing = np.zeros(len(kept), np.bool_)
    masks = _masks(np.asarray(numbers), kept)
    return Labelled(photo.stem, ArrayPicture(image), boxes, (MOVING,) * len(kept), nothing, areas, lambda: masks)


def _masks(numbers: NDArray[np.int32], kept: list[int]) -> Masks:
    height, width = numbers.shape
    return Masks.of(np.stack([numbers == n for n in kept])) if kept else Masks.none((height, width))
