"""Selective Search: boxes where objects may be, by merging similar regions.

Uijlings et al., "Selective Search for Object Recognition" (2013); the lecture's region proposals for R-CNN. An
over-segmentation decomposes the picture into small coherent regions (`ops/superpixels.py::felzenszwalb`). Then the two
most similar neighbours are merged, again and again, until one region is left: every region on the way is a proposal, so
that there are some of all scales. No single segmentation finds everything, so several are made, in several colour
spaces, from coarser and finer beginnings, and by different similarities (`FAST`, `QUALITY`).

    boxes = selective_search(image)[:2000]  # (N, 4), those that are likelier to be an object first, roughly
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes
from watchline.ops.letterbox import Size, fit
from watchline.ops.region_similarity import Regions, describe, neighbours, similarities
from watchline.ops.superpixels import felzenszwalb

Picture = NDArray[np.uint8]

SPACES: dict[str, Callable[[Picture], Picture]] = {
    "HSV": lambda image: np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), np.uint8),
    "Lab": lambda image: np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2LAB), np.uint8),
    "rgI": lambda image: normalised(image),
    "H": lambda image: np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., :1], np.uint8),
    "I": lambda image: np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], np.uint8),
}
"""The paper's colour spaces, from (H, W, 3) BGR to (H, W, C), all in 0..255."""


@dataclass(frozen=True)
class Mode:
    """Which segmentations are made: each colour space with each scale and each similarity.

    Attributes:
        spaces: names in SPACES.
        scales: of the over-segmentation, Felzenszwalb's k: larger ones begin with larger regions.
        measures: sets of similarities that are added up: Colour, Texture, Size, Fill.
    """

    spaces: Sequence[str]
    scales: Sequence[int]
    measures: Sequence[str]


# The paper's, but for scales and smoothing: it has scales of 50 and 100, in the quality mode 150 and 300 too, and 0.8
# pixels. On photos of VOC that are 256 pixels across, these cover the objects better with fewer boxes.
FAST = Mode(("HSV", "Lab"), (150, 300, 450), ("CTSF", "TSF"))
QUALITY = Mode(("HSV", "Lab", "rgI", "H", "I"), (150, 300, 450), ("CTSF", "TSF", "F", "S"))
SMALLEST = 100  # pixels of a region of the over-segmentation, at least
SIGMA = 0.65  # pixels, of the Gaussian that smooths the picture before
SIDE = 256  # pixels, the longer side of a picture that detectors search


def searched(size: Size) -> Size:
    """(width, height) at which detectors search a picture of such a size: its longer side is SIDE."""
    return fit(size, (SIDE, SIDE)).inner


def enlarged(boxes: Boxes, size: Size) -> Boxes:
    """Boxes (N, 4) xyxy in pixels of the size that `searched` gives, in those of a picture of (width, height)."""
    scale = np.array(size * 2, np.float32) / np.array(searched(size) * 2, np.float32)
    return np.asarray(boxes * scale, np.float32)


def proposals(image: Picture, count: int) -> Boxes:
    """So many boxes as detectors take them: the first of the fast mode, again from the beginning if these are fewer.

    Args: image (H, W, 3) uint8 BGR, of the size that `searched` gives. Returns: (count, 4) xyxy in its pixels.
    """
    return np.resize(selective_search(image), (count, 4))


def selective_search(image: Picture, mode: Mode = FAST, seed: int = 0) -> Boxes:
    """Proposals of a picture.

    Args:
        image: (H, W, 3) uint8 BGR.
        mode: the more segmentations, the more boxes, and the better the best of them.
        seed: of the order. A region's place in it is drawn, between the front and what it had in its own hierarchy,
            where the complete picture comes first: so all scales and all segmentations are mixed.

    Returns:
        (N, 4) xyxy, without two that are equal.

    Raises:
        LibraryMissing: scikit-image is not installed.
    """
    found, ranks = [], []
    rng = np.random.default_rng(seed)
    for space, scale in product(mode.spaces, mode.scales):
        planes = SPACES[space](image)
        parts = felzenszwalb(planes, scale, SMALLEST, SIGMA)
        regions, pairs = describe(planes, parts), neighbours(parts)
        for measures in mode.measures:
            boxes = hierarchy(regions, pairs, measures)[::-1]
            found.append(boxes)
            ranks.append(rng.random(len(boxes)) * np.arange(1, len(boxes) + 1))
    boxes = np.concatenate(found)[np.argsort(np.concatenate(ranks), kind="stable")]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]


def hierarchy(regions: Regions, pairs: NDArray[np.int64], measures: str) -> Boxes:
    """The boxes of the first regions and of all that come of merging them, (2N - 1, 4), in that order.

    The last one is the complete picture. Of pairs that are equally similar, the first two are merged.

    Args:
        regions: of the over-segmentation, N.
        pairs: (P, 2), which of them touch; with i < j.
        measures: of "CTSF", the similarities that are added up.
    """
    count = len(regions.size)
    merged = regions.with_room(2 * count - 1)
    near: list[set[int]] = [set() for _ in range(count)]
    for i, j in pairs.tolist():
        near[i].add(j)
        near[j].add(i)
    likeness = similarities(merged, pairs[:, 0], pairs[:, 1], measures)
    queue = [(-s, i, j) for s, (i, j) in zip(likeness.tolist(), pairs.tolist(), strict=True)]
    heapq.heapify(queue)
    gone = np.zeros(2 * count - 1, bool)
    for new in range(count, 2 * count - 1):
        i, j = next((i, j) for _, i, j in iter(lambda: heapq.heappop(queue), None) if not (gone[i] or gone[j]))
        merged.merge(i, j, new)
        gone[[i, j]] = True
        around = (near[i] | near[j]) - {i, j}
        near.append(around)
        for k in around:
            near[k] -= {i, j}
            near[k].add(new)
        others = np.array(sorted(around), np.int64)
        likeness = similarities(merged, others, np.full(len(others), new), measures)
        for s, k in zip(likeness.tolist(), others.tolist(), strict=True):
            heapq.heappush(queue, (-s, k, new))
    return merged.box


def normalised(image: Picture) -> Picture:
    """(H, W, 3): red and green as shares of all light, which shadows do not change, and the intensity."""
    light = np.maximum(image.sum(2, keepdims=True, dtype=np.float32), 1)
    shares = np.float32(255) * image[..., [2, 1]] / light
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.float32)[..., None]
    return np.concatenate([shares, grey], axis=2).round().astype(np.uint8)
