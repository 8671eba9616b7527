"""MOT Challenge's layout: `gt/gt.txt`, and the frames as photos in `img1` or as one video next to it.

A row is frame (from 1), track, left, top, width, height, whether it counts (1 or 0), and maybe more. MOT15 has persons
alone; from MOT16 on, the next number is the class, of which 1, pedestrians, counts. What does not count is difficult.
`seqinfo.ini` says how large the frames are, how many there are in a second, and in all.

As tracks, all rows of MOT15 count: they are people, and who finds them is not wrong.
"""

from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as NotIni
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, photos_of, read_text
from watchline.ops.boxes import Boxes
from watchline.ops.track_scores import Tracked
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Picture
from watchline.streams.inputs import VIDEO_SUFFIXES
from watchline.streams.photo import read_photo

EXPECTED = "MOT Challenge's (gt/gt.txt, and img1 or a video)"
PERSON = "person"
PEDESTRIAN = 1  # MOT16's number of the class
LEAST_COLUMNS, WITH_CLASS = 7, 9  # of a row, and of MOT16's
MOST_BYTES = 1 << 28  # of gt.txt
MOST_FRAMES = 1 << 20
INFO = ("frameRate", "imWidth", "imHeight", "seqLength")  # of seqinfo.ini


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout."""
    return (data / "gt" / "gt.txt").is_file()


@dataclass(frozen=True, slots=True)
class Sequence:
    """The true tracks of a video.

    Attributes:
        name: of the folder.
        rate: frames per second.
        size: width and height of the frames in pixels.
        truth: of each frame the people, with their tracks.
    """

    name: str
    rate: float
    size: tuple[int, int]
    truth: tuple[Tracked, ...]


def open_tracks(data: Path) -> Sequence:
    """The true tracks of a folder in this layout.

    Raises:
        DataNotFound: there is no `gt/gt.txt`.
        DataRefused: it or `seqinfo.ini` is not what it should be.
    """
    if not is_here(data):
        raise DataNotFound(f"{data}: expected {EXPECTED}")
    rate, width, height, count = _info(data / "seqinfo.ini")
    rows = _rows(data / "gt" / "gt.txt")
    if rows.shape[1] == WITH_CLASS:
        rows = rows[_counts(rows)]
    frames = (rows[rows[:, 0] == number] for number in range(1, int(count) + 1))
    truth = tuple(Tracked(mine[:, 1].astype(np.int64), boxes_of(mine)) for mine in frames)
    return Sequence(data.resolve().name, rate, (int(width), int(height)), truth)


def sequences_in(data: Path) -> list[Path]:
    """The folder itself, or the folders in it that are in this layout, by name.

    Raises:
        DataNotFound: there are none.
    """
    found = [data] if is_here(data) else sorted(filter(is_here, data.iterdir())) if data.is_dir() else []
    if not found:
        raise DataNotFound(f"{data}: expected a folder in the layout {EXPECTED}, or one of such folders")
    return found


def boxes_of(rows: NDArray[np.float64]) -> Boxes:
    """(N, 4) float32 xyxy in pixels, from rows (N, 6 or more)."""
    return np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1).astype(np.float32)


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
            yield Labelled(name, picture, boxes_of(mine), (PERSON,) * len(mine), ~_counts(mine))

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


def _info(file: Path) -> tuple[float, ...]:
    """Frames per second, width, height, and the number of frames."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(file))
        values = tuple(parser.getfloat("Sequence", key) for key in INFO)
        if not all(0 < value <= MOST_FRAMES for value in values):
            raise ValueError(f"they are {values}")
    except (NotIni, ValueError) as error:
        why = " ".join(str(error).split())
        raise DataRefused(f"{file}: {why}; expected {', '.join(INFO)} in [Sequence]") from error
    return values


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
