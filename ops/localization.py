"""ILSVRC's measure of localization: a picture is right if one of five guesses is, in class and place.

Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge" (2015), section 4.2: for each picture there are
at most five guesses, each a class and one box for it. A guess is right if it is the picture's class, and its box has an
IoU of 0.5 or more with any object of it. Here, the guesses are the best box of each class, the five best of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.boxes import iou

FIGURES = ("top-5", "top-1")
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Guesses:
    """Of P pictures of one class each.

    Attributes:
        classes: (P,) int64; -1 where a picture has no object, or objects of several classes: it does not count.
        ranks: (P,) int64, the number of the right guess, from 0; NEVER where none is right.
    """

    classes: NDArray[np.int64]
    ranks: NDArray[np.int64]


def guesses(found: Sequence[Predictions], truth: Sequence[Truth], threshold: float = 0.5) -> Guesses:
    """Which guess is right in each picture.

    Args:
        found, truth: one of each per picture, in the same order. Difficult truths count as others.
        threshold: IoU from which a box is right.

    Raises:
        ValueError: `found` and `truth` have different lengths.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with truths: expected the same pictures")
    classes, ranks = np.full(len(truth), -1, np.int64), np.full(len(truth), NEVER, np.int64)
    for number, (seen, real) in enumerate(zip(found, truth, strict=True)):
        if len(np.unique(real.classes)) != 1:
            continue
        classes[number] = real.classes[0]
        order = np.argsort(-seen.scores, kind="stable")
        first = np.sort(np.unique(seen.classes[order], return_index=True)[1])  # the best of each class, best first
        best = order[first]
        for rank, row in enumerate(best.tolist()):
            if seen.classes[row] == real.classes[0]:
                if iou(seen.boxes[row : row + 1], real.boxes).max() >= threshold:
                    ranks[number] = rank
                break
    return Guesses(classes, ranks)


def figures(
    guesses: Guesses, pictures: NDArray[np.bool_], weights: NDArray[np.int64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The share of pictures that are right with five guesses, and with one, by name; NaN where no picture counts.

    Args:
        pictures: (P,) those to count.
        weights: (B, P), how often each picture is counted in each of B samples: then the figures are (B,).
    """
    counted = (guesses.classes >= 0) & pictures
    times = np.ones((1, len(counted)), np.int64) if weights is None else weights
    total = times @ counted
    right = [times @ (counted & (guesses.ranks < most)) for most in (5, 1)]
    shares = [np.where(total > 0, one / np.maximum(total, 1), np.nan) for one in right]
    return {name: one[0] if weights is None else one for name, one in zip(FIGURES, shares, strict=True)}
