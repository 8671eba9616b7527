"""MOT Challenge's layout: `gt/gt.txt`, and the frames as photos in `img1` or as one video next to it.

A row is frame (from 1), track, left, top, width, height, whether it counts (1 or 0), and maybe more. MOT15 has persons
alone; from MOT16 on, the next number is the class, of which 1, pedestrians, counts. What does not count is difficult.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, photos_of
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Picture
from watchline.streams.inputs import VIDEO_SUFFIXES
from watchline.streams.photo import read_photo

EXPECTED = "MOT Challenge's (gt/gt.txt, and img1 or a video)"
PERSON = "person"
PEDESTRIAN = 1  # MOT16's number of the class
LEAST_COLUMNS, WITH_CLASS = 7, 9  # of a row, and of MOT16's
MOST_BYTES = 1 << 28  # of gt.txt


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout."""
    return (data / "gt" / "gt.txt").is_file()


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`; the pictures are all frames, also those without a row."""
    split = chosen(data, split, [ALL])
    rows = _rows(data / "gt" / "gt.txt")
    photos = photos_of(data / "img1") if (data / "img1").is_dir() else []
    video = None if photos else FileSource(_video(data))
    count = len(photos)
    if video:
        with video.open() as reader:
            count = reader.about.frames or 0

    def read() -> Iterator[Labelled]:
        frames = _frames(video) if video else ((file.stem, ArrayPicture(read_photo(file).pixels)) for file in photos)
        for index, (name, picture) in islice(enumerate(frames, 1), 0, None, every):
            mine = rows[rows[:, 0] == index]
            boxes = np.concatenate([mine[:, 2:4], mine[:, 2:4] + mine[:, 4:6]], axis=1).astype(np.float32)
            yield Labelled(name, picture, boxes, (PERSON,) * len(mine), ~_counts(mine))

    return DataSet(data.resolve().name, "MOT", split, "voc2010", -(-count // every), read, is_video=True)


def _frames(video: FileSource) -> Iterator[tuple[str, Picture]]:
    with video.open() as reader:
        for frame in reader:
            yield str(frame.index), ArrayPicture(frame.image)  # as a photo, which most figures are of


def _video(data: Path) -> Path:
    videos = sorted(file for file in data.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
    if len(videos) != 1:
        raise DataNotFound(f"{data} has {len(videos) or 'no'} videos and no folder img1: expected the frames of gt.txt")
    return videos[0]


def _rows(file: Path) -> NDArray[np.float64]:
    """(N, 7 or more). Raises DataRefused: the file is no table of numbers, or has boxes that cannot be."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        rows = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataRefused(
            f"{file}: no rows of MOT Challenge ({error}); expected frame,id,left,top,w,h,counts"
        ) from error
    if rows.shape[1] < LEAST_COLUMNS or not np.isfinite(rows).all() or (rows[:, 4:6] < 0).any():
        raise DataRefused(f"{file}: expected {LEAST_COLUMNS} numbers or more in a row: frame,id,left,top,w,h,counts")
    return rows


def _counts(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    counts = rows[:, 6] == 1
    return np.asarray(counts & (rows[:, 7] == PEDESTRIAN) if rows.shape[1] == WITH_CLASS else counts, np.bool_)
