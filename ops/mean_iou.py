"""How good class maps are: the confusion matrix of pixels, and the mean Intersection-over-Union of its classes.

    counts = confusion(predicted, truth, classes=11)  # of one picture; add those of all pictures
    iou_per_class(counts), mean_iou(counts)

As PASCAL VOC, Cityscapes and CamVid define it: IoU = TP / (TP + FP + FN) of each class over the pixels of the whole
set, then the mean over the classes. It is not the mean of the pictures' values. Pixels without a class (void) count in
neither.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""(C, C): entry [t, p] is the number of pixels of class t that were predicted to be of class p."""


def confusion(predicted: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> Counts:
    """The confusion matrix of two class maps.

    Args:
        predicted: of any shape, numbers below `classes`.
        truth: of the same shape; pixels with a number outside 0..classes - 1 are void, and left out.
        classes: C.

    Raises:
        ValueError: the shapes differ, or a pixel was predicted to be of no class.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"class maps of {predicted.shape} and {truth.shape}: expected the same shape")
    valid = (truth >= 0) & (truth < classes)
    rows, columns = truth[valid].astype(np.int64), predicted[valid].astype(np.int64)
    if len(columns) and not 0 <= columns.min() <= columns.max() < classes:
        raise ValueError(f"predicted classes {columns.min()}..{columns.max()}: expected 0..{classes - 1}")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def iou_per_class(counts: Counts) -> NDArray[np.float64]:
    """(C,) in 0..1; NaN for a class that is neither in the truth nor predicted."""
    right = counts.diagonal().astype(np.float64)
    union = counts.sum(0) + counts.sum(1) - right
    return np.asarray(np.divide(right, union, out=np.full(len(counts), np.nan), where=union > 0))


def mean_iou(counts: Counts) -> float:
    """The mean over the classes that are there; NaN if none is."""
    values = iou_per_class(counts)
    there = ~np.isnan(values)
    return float(values[there].mean()) if there.any() else float("nan")


def pixel_accuracy(counts: Counts) -> float:
    """The share of pixels with the right class; NaN if there are none."""
    total = int(counts.sum())
    return float(counts.trace()) / total if total else float("nan")
