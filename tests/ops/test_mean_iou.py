"""Mean IoU against a slow loop, and what counts as void."""

import math

import numpy as np
import pytest
import reference

from watchline.ops.mean_iou import confusion, iou_per_class, mean_iou, pixel_accuracy


@pytest.mark.parametrize("classes", [1, 2, 5, 21])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_it_is_the_slow_loops(classes, dtype):
    rng = np.random.default_rng(classes)
    predicted = rng.integers(0, max(classes - 1, 1), (7, 9)).astype(dtype)  # the last class is never predicted
    truth = rng.integers(0, classes + 1, (7, 9)).astype(dtype)  # the number after the last class is void
    truth[0] = 100
    counts = confusion(predicted, truth, classes)
    flat = predicted.ravel().tolist(), truth.ravel().tolist(), classes
    assert counts.tolist() == reference.confusion(*flat)
    assert mean_iou(counts) == pytest.approx(reference.mean_iou(*flat))


def test_the_set_counts_as_one_picture():
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 4, (2, 6, 5, 5))
    added = sum(confusion(found, real, 4) for found, real in zip(*pairs, strict=True))
    assert np.array_equal(added, confusion(*pairs, 4))


def test_a_class_that_is_nowhere_does_not_count():
    counts = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert iou_per_class(counts).tolist()[:2] == [0.5, 0.5]
    assert math.isnan(iou_per_class(counts)[2])
    assert mean_iou(counts) == 0.5
    assert pixel_accuracy(counts) == pytest.approx(2 / 3)


def test_void_alone_has_no_figure():
    counts = confusion(np.zeros(4, np.uint8), np.full(4, 255, np.uint8), 2)
    assert not counts.any()
    assert math.isnan(mean_iou(counts))
    assert math.isnan(pixel_accuracy(counts))


@pytest.mark.parametrize(
    ("predicted", "truth", "says"),
    [(np.zeros((2, 3), int), np.zeros((3, 2), int), "the same shape"), (np.array([2]), np.array([0]), "expected 0..1")],
)
def test_what_cannot_be_compared_is_refused(predicted, truth, says):
    with pytest.raises(ValueError, match=says):
        confusion(predicted, truth, 2)
