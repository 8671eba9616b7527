"""What a user's data says of its pictures, before anything of it is checked against the pictures themselves.

Each layout has a reader (voc.py, coco.py, yolo.py) that returns a `Layout`. Readers name what is wrong with their own
files, and go on; `dataset.read` adds what is wrong with pictures and boxes, so a user sees all mistakes at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEXT, JSON = 16 << 20, 1 << 30  # bytes: the largest label file of a picture or list of pictures; the largest COCO JSON


@dataclass(frozen=True)
class Labels:
    """What is said of one picture.

    Attributes:
        picture: its path; nobody has looked whether it is there.
        rows: where each of the N boxes is written, for messages.
        boxes: (N, 4) float64 xyxy, in pixels, or in shares of the picture's sides.
        shares: whether the boxes are in shares.
        classes: (N,) int64, index into the names of the layout.
        ignore: (N,) bool: counts neither as object nor as background (VOC's `difficult`, COCO's crowds).
        declared: (width, height) of the picture as the labels have it; None if they do not say.
    """

    picture: Path
    rows: tuple[str, ...]
    boxes: NDArray[np.float64]
    shares: bool
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    declared: tuple[int, int] | None = None


@dataclass
class Layout:
    """What a reader has found.

    Attributes:
        names: of the classes, in the order of their numbers.
        train: labels of the training pictures.
        val: of those to measure on; None if the data has no such split.
        problems: what is wrong, a line each.
        notes: what a user should know, a line each.
    """

    names: tuple[str, ...] = ()
    train: list[Labels] = field(default_factory=list)
    val: list[Labels] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def table(boxes: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Rows of four numbers as an array (N, 4), which may have no row."""
    return np.array(boxes, np.float64).reshape(-1, 4)


def read_bytes(file: Path, most: int, problems: list[str]) -> bytes | None:
    """The content of a file; None, and a line in `problems`, if it cannot be read or has more than `most` bytes."""
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        problems.append(f"{file}: it cannot be read ({error.strerror}); check that it is there, and its rights")
        return None
    if len(content) > most:
        problems.append(f"{file}: it has more than {most >> 20} MiB: expected labels; name the right file")
        return None
    return content


def read_text(file: Path, problems: list[str]) -> str | None:
    """The text of a file; None, and a line in `problems`, if there is none."""
    content = read_bytes(file, TEXT, problems)
    try:
        return None if content is None else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.append(f"{file}: it is not UTF-8 text: expected a list in plain text; save it as UTF-8")
        return None
