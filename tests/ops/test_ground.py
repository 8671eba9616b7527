"""From pixels to metres, by a camera whose place is known, and the speed of who moves evenly."""

import numpy as np
import pytest

from watchline.ops.ground import Speedometer, are_flat, homography, on_ground

SQUARE = np.array([(0, 0), (4, 0), (4, 30), (0, 30)], float)


def seen(metres):
    """Pixels of points of the ground, by a camera of 5 m height that looks 20 degrees down, 10 m before them."""
    x, z = metres[:, 0] - 2, metres[:, 1] + 10
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    depth = 5 * sine + z * cosine
    return np.stack([320 + 500 * x / depth, 240 + 500 * (5 * cosine - z * sine) / depth], axis=1)


def test_points_of_the_ground_are_where_they_are():
    matrix = homography(seen(SQUARE), SQUARE)
    places = np.random.default_rng(0).uniform((-5, -3), (9, 60), (50, 2))
    assert on_ground(seen(places), matrix) == pytest.approx(places, abs=1e-6)
    assert on_ground(seen(places[:0]), matrix).shape == (0, 2)


def test_what_is_above_the_horizon_is_nowhere():
    matrix = homography(seen(SQUARE), SQUARE)
    assert np.isnan(on_ground(np.array([(320.0, 10.0)]), matrix)).all()


def test_the_order_of_the_corners_does_not_matter():
    other = SQUARE[[2, 0, 3, 1]]
    assert on_ground(seen(SQUARE), homography(seen(other), other)) == pytest.approx(SQUARE, abs=1e-6)


@pytest.mark.parametrize(
    ("points", "flat"),
    [(SQUARE, False), ([(0, 0), (1, 1), (2, 2), (0, 9)], True), ([(3, 3)] * 4, True), (SQUARE[[0, 0, 1, 2]], True)],
)
def test_four_points_must_span_an_area(points, flat):
    assert are_flat(np.array(points, float)) is flat


def speeds(rate, speed, seconds=2.0, jitter=0.0):
    rng, gauge = np.random.default_rng(0), Speedometer()
    times = np.arange(0, seconds, 1 / rate)
    return [
        gauge.update(t, 3 + rng.normal(0, jitter), speed * t + rng.normal(0, jitter)) for t in times.tolist()
    ], gauge


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_who_moves_evenly_has_this_speed_at_any_rate(rate):
    found, gauge = speeds(rate, 20)
    assert [one for one in found if one is not None] == pytest.approx([72] * sum(one is not None for one in found))
    assert found[-1] is not None
    assert gauge.mean()[0] == pytest.approx(72)


def test_nothing_is_said_of_who_was_seen_shortly():
    found, gauge = speeds(10, 20, seconds=0.5)
    assert (found, gauge.mean()) == ([None] * 5, None)
    assert Speedometer().mean() is None


def test_boxes_that_tremble_change_it_little():
    """0.2 m of jitter at 25 frames per second: two frames alone would give some 25 km/h of error."""
    found, _ = speeds(25, 20, seconds=4, jitter=0.2)
    late = np.array(found[25:], float)
    assert np.abs(late - 72).max() < 5
