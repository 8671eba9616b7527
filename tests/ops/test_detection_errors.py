"""Each kind of error by hand, what it costs, and the figures of TIDE's own code."""

import numpy as np
import pytest

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.detection_errors import FALSE, KINDS, NEITHER, RIGHT, costs, errors_of

BOX, NEAR, FAR, BESIDE = (0, 0, 10, 10), (0, 0, 10, 3), (50, 50, 60, 60), (20, 0, 30, 10)  # IoU of NEAR is 0.3


def seen(*rows):
    """Rows of a box and a class, best first."""
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.1, len(rows), dtype=np.float32)
    return Predictions(boxes, scores, np.array([c for _, c in rows], np.int64))


def real(*rows, difficult=()):
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Truth(boxes, np.array([c for _, c in rows], np.int64), np.isin(np.arange(len(rows)), difficult))


@pytest.mark.parametrize(
    ("found", "truth", "kinds", "missed"),
    [
        (seen((BOX, 0)), real((BOX, 0)), ["right"], 0),
        (seen((BOX, 1)), real((BOX, 0)), ["class"], 0),
        (seen((NEAR, 0)), real((BOX, 0)), ["place"], 0),
        (seen((NEAR, 1)), real((BOX, 0)), ["both"], 1),
        (seen((BOX, 0), (BOX, 0)), real((BOX, 0)), ["right", "double"], 0),
        (seen((FAR, 0)), real((BOX, 0)), ["background"], 1),
        (seen((FAR, 0)), real(), ["background"], 0),
        (seen(), real((BOX, 0)), [], 1),
        (seen((NEAR, 0)), real((BOX, 0), (NEAR, 1)), ["place"], 1),  # place comes before class
        (seen((BOX, 0)), real((BOX, 0), difficult=[0]), ["neither"], 0),
        (seen((BOX, 0), (BOX, 0)), real((BOX, 0), difficult=[0]), ["neither"] * 2, 0),
        (seen((NEAR, 0)), real((BOX, 0), difficult=[0]), ["neither"], 0),  # it lies in the crowd
        (seen((BOX, 2)), real((BOX, 0)), [], 1),  # a class that is not measured
    ],
)
def test_each_kind_by_hand(found, truth, kinds, missed):
    errors = errors_of([found], [truth], 2)
    names = {RIGHT: "right", NEITHER: "neither"} | dict(enumerate(FALSE))
    assert [names[kind] for kind in errors.kinds.tolist()] == kinds
    assert errors.count("missed") == missed


def cost_of(found, truth, classes=2):
    mean, cost = costs(errors_of([found], [truth], classes), classes, "voc2010")
    return mean, {kind: value for kind, value in cost.items() if abs(value) > 1e-12}


def test_costs_by_hand():
    assert cost_of(seen((BOX, 0)), real((BOX, 0))) == (1, {})
    assert cost_of(seen((NEAR, 0)), real((BOX, 0))) == (0, {"place": 1})
    assert cost_of(seen((BOX, 1)), real((BOX, 0))) == (0, {"class": 1})
    assert cost_of(seen((FAR, 0), (BOX, 0)), real((BOX, 0))) == (0.5, {"background": 0.5})
    assert cost_of(seen((BOX, 0)), real((BOX, 0), (FAR, 0))) == (0.5, {"missed": 0.5})


def test_an_object_is_put_right_once_and_by_the_best_error():
    """Two are too far off, and a better one has the wrong class: only that would have become right."""
    assert cost_of(seen((BOX, 1), (NEAR, 0), (NEAR, 0)), real((BOX, 0))) == (0, {"class": pytest.approx(1 / 1)})
    assert cost_of(seen((NEAR, 0), (NEAR, 0)), real((BOX, 0))) == (0, {"place": 1})
    found = seen((BOX, 0), (NEAR, 0), (BESIDE, 0))
    assert cost_of(found, real((BOX, 0), (BESIDE, 0))) == (
        pytest.approx((1 + 2 / 3) / 2),
        {"place": pytest.approx(1 / 6)},
    )


def test_nothing_to_find_has_no_cost():
    mean, cost = costs(errors_of([seen((BOX, 0))], [real()], 2), 2, "coco")
    assert np.isnan([mean, *cost.values()]).all()
    assert errors_of([], [], 2).missed.shape == (0,)


def random_case(seed):
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(30):
        n = int(rng.integers(0, 6))
        start = rng.uniform(0, 200, (n, 2))
        boxes = np.concatenate([start, start + rng.uniform(20, 80, (n, 2))], axis=1).astype(np.float32)
        classes = rng.integers(0, 3, n)
        truth.append(Truth(boxes, classes, np.zeros(n, np.bool_)))
        many = int(rng.integers(0, 12))
        near = boxes[rng.integers(0, n, many)] if n else rng.uniform(0, 100, (many, 4)).astype(np.float32)
        known = classes[rng.integers(0, n, many)] if n else rng.integers(0, 3, many)
        moved = near + rng.normal(0, 8, (many, 4)).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 3)
        labels = np.where(rng.random(many) < 0.7, known, rng.integers(0, 3, many))
        found.append(
            Predictions(moved.astype(np.float32), rng.random(many).astype(np.float32), labels.astype(np.int64))
        )
    return found, truth


# tidecv 1.0.1 on these boxes: AP, then of class, place, both, double, background and missed the count and the cost
TIDE = {
    0: (8.089, [(45, 13.693), (34, 9.994), (14, 1.423), (29, 0.704), (17, 1.040), (33, 5.401)]),
    1: (13.226, [(50, 16.029), (25, 6.080), (19, 1.186), (23, 1.055), (30, 2.266), (28, 6.980)]),
    3: (19.432, [(31, 10.290), (23, 9.701), (15, 1.039), (31, 1.979), (37, 3.566), (22, 8.160)]),
}


@pytest.mark.parametrize("seed", TIDE)
def test_equal_to_the_code_of_tide(seed):
    errors = errors_of(*random_case(seed), 3)
    mean, cost = costs(errors, 3, "coco")
    expected, kinds = TIDE[seed]
    assert 100 * mean == pytest.approx(expected, abs=6e-4)
    assert [errors.count(kind) for kind in KINDS] == [count for count, _ in kinds]
    assert [100 * cost[kind] for kind in KINDS] == pytest.approx([value for _, value in kinds], abs=6e-4)
