"""Suppression must give what the lecture's greedy loop gives, index for index."""

import numpy as np
import pytest
import reference

from watchline.ops.nms import CHUNK, nms, nms_per_class


def crowd(seed: int, n: int, objects: int, classes: int = 3, levels: int = 1000):
    """Boxes that jitter around some objects; few `levels` of score make many ties."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, objects, n)
    centre = rng.uniform(0, 300, (objects, 2))[which] + rng.normal(0, 6, (n, 2))
    size = rng.uniform(20, 90, (objects, 2))[which]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
    scores = (rng.integers(1, levels + 1, n) / levels).astype(np.float32)
    return boxes, scores, rng.integers(0, classes, n)


@pytest.mark.parametrize("threshold", [0.0, 0.45, 0.7, 1.0])
@pytest.mark.parametrize("levels", [3, 1000], ids=["ties", "spread"])
@pytest.mark.parametrize("n", [1, 2, 10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_equals_the_greedy_loop(n, levels, threshold):
    for seed in range(3):
        boxes, scores, classes = crowd(seed, n, objects=1 + n // 4, levels=levels)
        expected = reference.nms(boxes.tolist(), scores.tolist(), classes.tolist(), threshold)
        assert nms_per_class(boxes, scores, classes, threshold).tolist() == expected
        alone = reference.nms(boxes.tolist(), scores.tolist(), [0] * n, threshold)
        assert nms(boxes, scores, threshold).tolist() == alone


@pytest.mark.parametrize("most", [0, 1, 7, 150, 1000])
def test_only_the_best_candidates_take_part(most):
    boxes, scores, classes = crowd(4, 200, objects=60, levels=20)
    expected = reference.nms(boxes.tolist(), scores.tolist(), classes.tolist(), 0.5, most)
    assert nms_per_class(boxes, scores, classes, 0.5, max_candidates=most).tolist() == expected


def test_the_default_cap_is_a_thousand_and_none_lifts_it():
    n = 1200
    corner = np.arange(n, dtype=np.float32) * 10  # no box touches another
    boxes = np.stack([corner, corner, corner + 5, corner + 5], axis=1)
    scores = np.linspace(0.1, 1, n, dtype=np.float32)
    classes = np.zeros(n, np.int64)
    assert nms_per_class(boxes, scores, classes, 0.5).tolist() == list(range(n - 1, n - 1001, -1))
    assert len(nms_per_class(boxes, scores, classes, 0.5, max_candidates=None)) == n


@pytest.mark.parametrize(
    ("second", "threshold", "kept"),
    [
        ((0, 0, 10, 5), 0.5, [0, 1]),  # IoU is the threshold, not greater: it stays
        ((0, 0, 10, 5), 0.49, [0]),
        ((0, 0, 10, 9), 0.9, [0, 1]),
        ((0, 0, 10, 10), 1.0, [0, 1]),  # a twin at threshold 1
        ((10, 0, 20, 10), 0.0, [0, 1]),  # neighbours share nothing
    ],
)
def test_the_threshold_itself_is_not_too_much(second, threshold, kept):
    boxes = np.array([(0, 0, 10, 10), second], np.float32)
    assert nms(boxes, np.array([0.9, 0.8], np.float32), threshold).tolist() == kept


def test_what_was_removed_removes_nothing():
    """b overlaps a and c; a removes b, so c stays although b would have removed it."""
    boxes = np.array([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.3).tolist() == [0, 2]


def test_classes_do_not_suppress_one_another():
    boxes = np.array([(0, 0, 10, 10)] * 4, np.float32)
    scores = np.array([0.5, 0.9, 0.9, 0.4], np.float32)
    assert nms_per_class(boxes, scores, np.array([0, 1, 0, 1]), 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_empty_in_empty_out(dtype):
    boxes, scores = np.empty((0, 4), np.float32), np.empty(0, np.float32)
    for kept in (nms(boxes, scores, 0.5), nms_per_class(boxes, scores, np.empty(0, dtype), 0.5)):
        assert kept.shape == (0,)
        assert kept.dtype == np.intp


def test_boxes_without_area_survive():
    boxes = np.array([(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 10, 10)], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.5).tolist() == [0, 1, 2]
