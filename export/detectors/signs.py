"""Signs that tell families apart: numbers that came out for a picture of noise, and names inside the file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.export.detectors.network import ThirdPartyNetwork

SURE = 0.8  # of the rows


def whole(array: NDArray[Any]) -> bool:
    """Whether all are whole numbers, as numbers of classes are; scores are not."""
    return bool(array.size) and bool((array == np.rint(array)).all())


def ones(array: NDArray[Any]) -> bool:
    """Whether all are 1."""
    return bool(array.size) and bool((array == 1).all())


def corners_of_boxes(boxes: NDArray[Any]) -> bool:
    """Whether nearly all (…, 4) are two corners: hardly a box, by centre and size, is as wide as its centre is far."""
    return bool(boxes.size) and bool((boxes[..., 2:] >= boxes[..., :2]).all(axis=-1).mean() > SURE)


def shares(scores: NDArray[Any]) -> bool:
    """Whether rows (…, C) add up to 1, as those of a softmax do."""
    return bool(scores.size) and bool(np.allclose(scores.astype(np.float64).sum(axis=-1), 1, atol=1e-2))


def for_softmax(logits: NDArray[Any]) -> bool:
    """Whether logits (B, N, C + 1) of noise say "no object" by the last column: it wins, and is above 0."""
    if logits.ndim != 3 or logits.shape[2] < 2 or not logits.size:
        return False
    last = logits[..., -1]
    return bool(((last > logits[..., :-1].max(axis=-1)) & (last > 0)).mean() > SURE)


def for_sigmoid(logits: NDArray[Any]) -> bool:
    """Whether logits (B, N, C) of noise say "no object" by numbers below 0 in every column."""
    return bool(logits.size) and bool((logits.max(axis=-1) < 0).mean() > SURE)


def says(network: ThirdPartyNetwork, *words: str) -> bool:
    """Whether one of the words is in the name of a node or a weight."""
    return any(word in network.words for word in words)
