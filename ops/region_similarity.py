"""Regions of a picture, how they look, and how similar two of them are: the measures of Selective Search.

Uijlings et al., "Selective Search for Object Recognition" (2013), section 3.2. All similarities are in 0..1. Those of a
merged region follow from its parts, so that no pixel is looked at twice.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes
from watchline.ops.superpixels import Parts

BINS = 25  # of a colour channel's histogram
DIRECTIONS, STEEPNESS = 8, 10  # of a channel's derivatives, and bins of a direction's histogram
SIGMA = 1.0  # pixels, of the Gaussian whose derivatives the texture is


@dataclass(frozen=True)
class Regions:
    """N regions of a picture.

    Attributes:
        picture: its pixels.
        size: (N,) float32, pixels.
        box: (N, 4) xyxy.
        colour: (N, BINS C) float32, a histogram of each channel; their sum is 1.
        texture: (N, STEEPNESS DIRECTIONS C) float32, a histogram of each direction's derivative; their sum is 1.
    """

    picture: int
    size: NDArray[np.float32]
    box: Boxes
    colour: NDArray[np.float32]
    texture: NDArray[np.float32]

    def with_room(self, count: int) -> "Regions":
        """A copy with `count` rows, of which the last ones are empty."""
        arrays = []
        for array in (self.size, self.box, self.colour, self.texture):
            room = np.zeros((count, *array.shape[1:]), np.float32)
            room[: len(array)] = array
            arrays.append(room)
        return Regions(self.picture, *arrays)

    def merge(self, i: int, j: int, new: int) -> None:
        """Row `new` becomes the union of rows i and j."""
        a, b = self.size[i], self.size[j]
        self.size[new] = a + b
        self.box[new, :2] = np.minimum(self.box[i, :2], self.box[j, :2])
        self.box[new, 2:] = np.maximum(self.box[i, 2:], self.box[j, 2:])
        for histogram in (self.colour, self.texture):
            histogram[new] = (a * histogram[i] + b * histogram[j]) / (a + b)


def describe(planes: NDArray[np.uint8], parts: Parts) -> Regions:
    """The regions of an over-segmentation.

    Args:
        planes: (H, W, C) uint8, in any colour space.
        parts: (H, W), the number of each pixel's region, from 0 on without gaps.
    """
    size = np.bincount(parts.ravel()).astype(np.float32)
    colour = [_histogram(parts, planes[..., c].astype(np.int64) * BINS // 256, BINS) for c in range(planes.shape[2])]
    texture = [_histogram(parts, steepness, STEEPNESS) for steepness in _steepness(planes)]
    return Regions(parts.size, size, boxes_of(parts), *(_shares(histograms) for histograms in (colour, texture)))


def boxes_of(parts: Parts) -> Boxes:
    """The box around each region, (N, 4) xyxy. Args: parts (H, W), numbers from 0 on without gaps."""
    order = np.argsort(parts, axis=None, kind="stable")
    begins = np.searchsorted(parts.ravel()[order], np.arange(int(parts.max()) + 1))
    y, x = np.divmod(order, parts.shape[1])
    low, high = (np.stack([f.reduceat(x, begins), f.reduceat(y, begins)]) for f in (np.minimum, np.maximum))
    return np.concatenate([low, high + 1]).T.astype(np.float32)


def neighbours(parts: Parts) -> NDArray[np.int64]:
    """Which regions touch, at a side of a pixel: (P, 2), each pair once with i < j, in order."""
    pairs = [
        np.stack([a.ravel(), b.ravel()], axis=1) for a, b in ((parts[:, :-1], parts[:, 1:]), (parts[:-1], parts[1:]))
    ]
    touching = np.sort(np.concatenate(pairs).astype(np.int64), axis=1)
    touching = touching[touching[:, 0] != touching[:, 1]]
    count = int(parts.max()) + 1
    first, second = np.divmod(np.unique(touching[:, 0] * count + touching[:, 1]), count)
    return np.stack([first, second], axis=1)


def similarities(regions: Regions, i: NDArray[np.int64], j: NDArray[np.int64], measures: str) -> NDArray[np.float32]:
    """How similar pairs of regions are, (P,): the sum of some measures.

    Args:
        i, j: (P,) rows of `regions`.
        measures: some of C, T, S, F. Colour and Texture are what two histograms share. Size says that small regions
            merge early, so that all scales are found everywhere; and Fill, that what surrounds another one takes it in.
    """
    total = np.zeros(len(i), np.float32)
    size = regions.size[i] + regions.size[j]
    if "C" in measures:
        total += np.minimum(regions.colour[i], regions.colour[j]).sum(1)
    if "T" in measures:
        total += np.minimum(regions.texture[i], regions.texture[j]).sum(1)
    if "S" in measures:
        total += 1 - size / regions.picture
    if "F" in measures:
        low = np.minimum(regions.box[i, :2], regions.box[j, :2])
        high = np.maximum(regions.box[i, 2:], regions.box[j, 2:])
        total += 1 - ((high - low).prod(1) - size) / regions.picture
    return total


def _steepness(planes: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """For each channel and direction, the bin (H, W) of the Gaussian derivative. Those that fall are in the first."""
    found = []
    for c in range(planes.shape[2]):
        smooth = cv2.GaussianBlur(planes[..., c].astype(np.float32), (0, 0), SIGMA)
        across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, ksize=1) for dx in (1, 0))
        for turn in np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
            slope = np.maximum(np.cos(turn) * across + np.sin(turn) * down, 0)
            found.append((slope * (STEEPNESS - 1e-3) / max(float(slope.max()), 1e-6)).astype(np.int64))
    return found


def _histogram(parts: Parts, bins: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(N, count): how many pixels of each region are in each bin."""
    regions = int(parts.max()) + 1
    return np.bincount((parts * np.int64(count) + bins).ravel(), minlength=regions * count).reshape(regions, count)


def _shares(histograms: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """The histograms side by side, so that each row's sum is 1."""
    joined = np.concatenate(histograms, axis=1).astype(np.float32)
    return np.asarray(joined / joined.sum(1, keepdims=True), np.float32)
