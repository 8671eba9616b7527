"""The greedy merge against a slow one, and what it makes of candidates of one and of several objects."""

import numpy as np
import pytest
import reference

from watchline.ops.greedy_merge import distances, greedy_merge, merge_per_class


def slowly(boxes, scores, overlap):
    """The lecture's loop, literally: all pairs are compared each time."""
    left = [(list(map(float, box)), float(score)) for box, score in zip(boxes, scores, strict=True)]
    while True:
        pairs = [
            (reference.merge_distance(a, b), i, j)
            for i, (a, _) in enumerate(left)
            for j, (b, _) in enumerate(left)
            if i < j and (overlap is None or reference.iou(a, b) > overlap)
        ]
        if not pairs:
            return sorted(left, key=lambda one: -one[1])
        _, i, j = min(pairs)
        (a, p), (b, q) = left[i], left[j]
        left[i] = [(u + v) / 2 for u, v in zip(a, b, strict=True)], (p + q) / 2
        del left[j]


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 50, (count, 2))
    return np.hstack([corner, corner + size]).astype(np.float32), rng.random(count).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overlap", [None, 0.0, 0.3, 0.6])
@pytest.mark.parametrize("count", [0, 1, 2, 25])
def test_it_is_the_loop_over_all_pairs(count, overlap, seed):
    boxes, scores = random_boxes(count, seed)
    found, wanted = greedy_merge(boxes, scores, overlap), slowly(boxes, scores, overlap)
    assert len(found.boxes) == len(wanted)
    assert np.allclose(found.boxes, np.array([box for box, _ in wanted]).reshape(-1, 4), atol=1e-3)
    assert np.allclose(found.scores, [score for _, score in wanted], atol=1e-6)
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)


def test_the_distance_goes_to_the_intersection():
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [20, 0, 30, 10]])
    # the same; an intersection 2.5 from both centres; inside, its own intersection; the gap's middle 10 from both
    assert distances(box, others).tolist() == pytest.approx([0, 5, 8**0.5, 20])


def test_one_object_becomes_one_box_and_two_stay_two():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.9, 0.5, 0.8], np.float32)
    found = greedy_merge(boxes, scores, 0.45)
    assert found.boxes.tolist() == [[50, 50, 60, 60], [1, 0, 11, 10]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.7])
    assert found.rows.tolist() == [2, 0]  # the best candidate of each
    assert len(greedy_merge(boxes, scores).boxes) == 1  # the lecture's, for pictures of one object


def test_classes_do_not_mix():
    boxes = np.array([[0, 0, 10, 10]] * 4, np.float32)
    scores, classes = np.array([0.4, 0.9, 0.8, 0.1], np.float32), np.array([0, 1, 0, 1])
    found = merge_per_class(boxes, scores, classes, 0.5, 1000)
    assert found.scores.tolist() == pytest.approx([0.6, 0.5])
    assert classes[found.rows].tolist() == [0, 1]
    assert merge_per_class(boxes, scores, classes, 0.5, 3).scores.tolist() == pytest.approx([0.9, 0.6])
    assert len(merge_per_class(boxes[:0], scores[:0], classes[:0], 0.5, 3).rows) == 0
