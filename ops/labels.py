"""Where labels go: at their boxes, over no other text, and over as little as possible of other boxes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, int]


def places(
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Sequence[int]],
    taken: Sequence[tuple[int, int, int, int]],
    width: int,
    height: int,
) -> list[Place | None]:
    """The upper left corner of each label.

    Above the box if that covers nothing, else below it or, if those cover more, inside it.

    Args:
        sizes: width and height of each label in pixels, the most important first.
        boxes: of each label: left, top, right, bottom in whole pixels, inside the picture.
        taken: what no label may cover, as boxes.
        width, height: of the picture.

    Returns:
        (x, y) per label; None where no place is left, so less important labels give way.
    """
    covered = np.asarray(boxes, np.int64).reshape(-1, 4)
    texts = np.zeros((len(taken) + len(sizes), 4), np.int64)
    texts[: len(taken)] = np.asarray(taken, np.int64).reshape(-1, 4)
    used = len(taken)
    found: list[Place | None] = []
    for size, box in zip(sizes, boxes, strict=True):
        options = _options(size, box, texts[:used], width, height)
        if len(options):
            options = options[_overlaps(options, texts[:used]).sum(axis=1) == 0]
        if not len(options):
            found.append(None)
            continue
        best = options[_overlaps(options, covered).sum(axis=1).argmin()]
        texts[used] = best
        used += 1
        found.append((int(best[0]), int(best[1])))
    return found


def _options(
    size: tuple[int, int], box: Sequence[int], texts: NDArray[np.int64], width: int, height: int
) -> NDArray[np.int64]:
    """The places of a label (N, 4) that are inside the picture, the usual ones first."""
    w, h = size
    x1, y1, x2, y2 = box
    left, right = min(x1, width - w), max(x2 - w, 0)
    inside = min(y1, height - h)
    in_the_way = texts[
        (texts[:, 0] < left + w) & (texts[:, 2] > left) & (texts[:, 1] < inside + h) & (texts[:, 3] > inside)
    ]
    below_it = int(in_the_way[:, 3].max(initial=inside))
    corners = [(x, y) for y in (y1 - h, y2, inside, below_it) for x in (left, right)]
    return np.array([(x, y, x + w, y + h) for x, y in corners if 0 <= y <= height - h], np.int64).reshape(-1, 4)


def _overlaps(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pixels that each of a (N, 4) shares with each of b (M, 4): (N, M)."""
    wide = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    high = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    shared: NDArray[np.int64] = wide.clip(0) * high.clip(0)
    return shared
