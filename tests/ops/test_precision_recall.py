"""A picture that is counted twice is as good as two pictures, by each rule."""

import numpy as np
import pytest

from watchline.ops.average_precision import Predictions, Truth, judge
from watchline.ops.coco_precision import figures, judge_by_size
from watchline.ops.precision_recall import RULES, recall, summary


@pytest.fixture
def pictures():
    """Detections around truths, of one class; no two scores are equal."""
    rng = np.random.default_rng(5)
    found, truth = [], []
    for _ in range(9):
        n = int(rng.integers(0, 5))
        start = rng.uniform(0, 60, (n, 2))
        boxes = np.concatenate([start, start + rng.uniform(20, 40, (n, 2))], axis=1).astype(np.float32)
        truth.append(Truth(boxes, np.zeros(n, np.int64), rng.random(n) < 0.2))
        many = int(rng.integers(0, 7)) if n else 2
        near = boxes[rng.integers(0, n, many)] if n else np.float32([[0, 0, 9, 9]] * many)
        moved = (near + rng.normal(0, 3, near.shape)).astype(np.float32)
        found.append(Predictions(moved, rng.random(many).astype(np.float32), np.zeros(many, np.int64)))
    return found, truth


WEIGHTS = np.array([[1] * 9, [0, 2, 1, 0, 3, 1, 1, 0, 1], [0] * 9])


def repeated(pictures, weights):
    """The pictures as often as the weights say."""
    return [[one for one, times in zip(side, weights, strict=True) for _ in range(times)] for side in pictures]


@pytest.mark.parametrize("rule", RULES)
def test_weights_are_repetitions(pictures, rule):
    judged = judge(*pictures, 0, 0.5)
    weighted = summary(judged, rule, WEIGHTS)
    assert weighted.shape == (1, 3)
    assert weighted[0, 0] == pytest.approx(summary(judged, rule)[0])
    assert weighted[0, 1] == pytest.approx(summary(judge(*repeated(pictures, WEIGHTS[1]), 0, 0.5), rule)[0])
    assert np.isnan(weighted[0, 2])
    assert 0 < weighted[0, 0] < 1


def test_weights_of_cocos_figures_are_repetitions(pictures):
    judged = judge_by_size(*pictures, 0)
    weighted = figures([judged], WEIGHTS)
    for column, weights in enumerate(WEIGHTS[:2]):
        alone = figures([judge_by_size(*repeated(pictures, weights), 0)])
        np.testing.assert_allclose([weighted[name][column] for name in alone], list(alone.values()))
    assert np.isnan(recall(judged["all"], WEIGHTS)[:, 2]).all()


def test_curves_that_do_not_fit_at_once_are_the_same(pictures, monkeypatch):
    judged = judge(*pictures, 0, 0.5)
    weights = np.random.default_rng(0).multinomial(9, [1 / 9] * 9, 50)
    at_once = summary(judged, "voc2010", weights)
    monkeypatch.setattr("watchline.ops.precision_recall.LARGEST", 60)
    np.testing.assert_array_equal(summary(judged, "voc2010", weights), at_once)
