"""Run lengths as COCO writes masks: column by column, numbers of pixels outside and inside by turns.

The text form is that of `pycocotools`: from the fourth number on, each is the difference to the one before the last;
groups of five bits, the lowest first, are characters from "0" (48) on, with 32 added where more follow.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from watchline.ops.errors import DetectionsError

BITS, MORE, SIGN, FIRST = 5, 32, 16, 48  # of a character
LONGEST = 8  # characters of a number: 40 bits


def runs(x: int, y: int, crop: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.int64]:
    """The run lengths of one object: (R,), beginning with the pixels outside, maybe 0 of them.

    Args:
        x, y: left and top of the crop in the picture. crop: (h, w). size: (height, width) of the picture.
    """
    height, width = size
    columns = np.zeros((crop.shape[1], crop.shape[0] + 1), np.bool_)  # (w, h + 1), with a pixel outside after each
    columns[:, :-1] = crop.T
    flat = np.concatenate([[False], columns.ravel()])
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), crop.shape[0] + 1)
    edges = (x + column) * height + y + row  # by turns, where a run begins and where it has ended
    goes_on = np.flatnonzero(
        edges[1:-1:2] == edges[2::2]
    )  # at the top of the next column, where the crop has full height
    edges = np.delete(edges, np.concatenate([2 * goes_on + 1, 2 * goes_on + 2]))
    ends = edges if len(edges) and edges[-1] == height * width else np.append(edges, height * width)
    return np.diff(ends, prepend=0)


def runs_by_class(plane: NDArray[np.uint8]) -> dict[int, NDArray[np.int64]]:
    """The run lengths of each class of a plane (h, w), by its number: all of them in one pass."""
    flat = np.ascontiguousarray(plane.T).ravel()
    begins = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends, classes = np.append(begins[1:], flat.size), flat[begins]
    runs = {}
    for number in np.unique(classes).tolist():
        mine = classes == number
        edges = np.stack([begins[mine], ends[mine]], axis=1).ravel()
        runs[number] = np.diff(edges if edges[-1] == flat.size else np.append(edges, flat.size), prepend=0)
    return runs


def crop(counts: NDArray[np.int64], size: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
    """The smallest crop (h, w) with all pixels of an object, after its left and its top. The inverse of `runs`.

    Raises:
        DetectionsError: the numbers do not make a picture of this size.
    """
    height, width = size
    if (counts < 0).any() or (counts > height * width).any() or counts.sum() != height * width:
        raise DetectionsError(f"run lengths of {counts.sum()} pixels: expected {height} x {width}, a picture's")
    ends = np.cumsum(counts)
    begins, ends = ends[:-1:2], ends[1::2]  # of the runs inside
    begins = begins[: len(ends)]
    begins, ends = begins[ends > begins], ends[ends > begins]
    if not len(ends):
        return 0, 0, np.zeros((0, 0), np.bool_)
    left, right = int(begins[0]) // height, (int(ends[-1]) - 1) // height + 1
    edges = np.stack([begins, ends], axis=1).ravel() - left * height
    lengths = np.diff(edges, prepend=0, append=(right - left) * height)
    strip = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(right - left, height).T  # (height, w)
    rows = np.flatnonzero(strip.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return left, top, strip[top:bottom]


def as_text(counts: NDArray[np.int64]) -> str:
    """Run lengths (R,) as COCO's text."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    longest = int(np.abs(values).max(initial=0)).bit_length() // BITS + 1
    rest = values[:, None] >> (BITS * np.arange(longest + 1))  # (R, longest + 1)
    digits = rest[:, :-1] & (MORE - 1)
    done = rest[:, 1:] == np.where(digits & SIGN, -1, 0)  # what is left is the sign alone
    more = np.logical_and.accumulate(~done, axis=1)
    used = np.concatenate([np.ones((len(values), 1), np.bool_), more[:, :-1]], axis=1)
    characters = (digits + FIRST + np.where(more, MORE, 0))[used].astype(np.uint8)
    return bytes(characters).decode("ascii")


def counts_of(text: str | bytes | Sequence[int]) -> NDArray[np.int64]:
    """Run lengths from COCO's text, or from a list of them as they are.

    Raises:
        DetectionsError: it is no such text.
    """
    if not isinstance(text, str | bytes):
        return np.array(text, np.int64).reshape(-1)
    raw = text if isinstance(text, bytes) else text.encode("ascii", "replace")
    characters = np.frombuffer(raw, np.uint8).astype(np.int64) - FIRST
    last = np.flatnonzero((characters & MORE) == 0)
    starts = np.concatenate([[0], last[:-1] + 1])
    lengths = last + 1 - starts if len(last) else np.empty(0, np.int64)
    valid = len(last) and last[-1] == len(characters) - 1 and characters.min() >= 0 and characters.max() < 2 * MORE
    if not valid or lengths.max() > LONGEST:
        raise DetectionsError(f"counts {text[:20]!r}: expected run lengths as COCO writes them")
    place = np.arange(len(characters)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((characters & (MORE - 1)) << (BITS * place), starts)
    counts -= np.where(characters[last] & SIGN, 1 << (BITS * lengths), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
