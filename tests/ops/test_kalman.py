"""The filter of boxes: equal to the textbook's matrices, right about what moves steadily, and never without an area."""

import numpy as np
import pytest

from watchline.ops.kalman import INEXACT, RESTLESS, UNKNOWN, begun, boxes_of, corrected, predicted


def box(x, y, width=20.0, height=50.0):
    return np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]], np.float32)


def test_equals_the_filter_in_matrices():
    """Centre x alone, as a state of position and velocity."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.3, 12))
    motion, before = begun(box(100, 40)), 0.0
    side = np.sqrt(20 * 50)
    state = np.array([100.0, 0.0])
    spread = np.diag([(INEXACT[0] * side) ** 2, (UNKNOWN[0] * side) ** 2])
    for now in times.tolist():
        step, before = now - before, now
        side = np.sqrt(motion[0, 0, 2])
        forward = np.array([[1, step], [0, 1]])
        noise = (RESTLESS[0] * side) ** 2 * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        state, spread = forward @ state, forward @ spread @ forward.T + noise
        seen = box(100 + 40 * now + rng.normal(0, 2), 40)
        motion = corrected(predicted(motion, step), seen)
        centre = float(seen[0, 0] + seen[0, 2]) / 2
        gain = spread[:, 0] / (spread[0, 0] + (INEXACT[0] * np.sqrt(20 * 50)) ** 2)
        state = state + gain * (centre - state[0])
        spread = spread - np.outer(gain, spread[0])
        assert motion[0, :2, 0] == pytest.approx(state, rel=1e-5)
        assert motion[0, 2:, 0] == pytest.approx([spread[0, 0], spread[0, 1], spread[1, 1]], rel=1e-5)


@pytest.mark.parametrize("rate", [5, 25])
def test_who_walks_straight_on_is_expected_where_he_goes(rate):
    """Also where half of the frames are missing: time counts, not frames."""
    motion, before = begun(box(0, 100)), 0.0
    for index in range(1, 3 * rate):
        if index % 2:
            continue
        now = index / rate
        motion, before = corrected(predicted(motion, now - before), box(60 * now, 100)), now
    expected = boxes_of(predicted(motion, 1.0))
    assert expected == pytest.approx(box(60 * (before + 1), 100), abs=3)


def test_the_area_stays_positive_however_long_nothing_is_seen():
    motion = begun(box(50, 50, 40, 40))
    for side in (38, 35, 31, 26, 20):
        motion = corrected(predicted(motion, 0.1), box(50, 50, side, side))
    assert motion[0, 1, 2] < 0
    for seconds in (0.1, 1.0, 100.0):
        motion = predicted(motion, seconds)
        assert motion[0, 0, 2] > 0
        assert np.isfinite(boxes_of(motion)).all()


def test_a_box_without_area_gives_no_nonsense():
    motion = corrected(predicted(begun(np.zeros((1, 4), np.float32)), 0.1), np.full((1, 4), 7, np.float32))
    assert np.isfinite(motion).all()
    assert boxes_of(motion).shape == (1, 4)


def test_nothing_stays_nothing():
    none = np.empty((0, 4), np.float32)
    motion = corrected(predicted(begun(none), 1.0), none)
    assert (motion.shape, boxes_of(motion).shape) == ((0, 5, 4), (0, 4))
