from fractions import Fraction
from itertools import pairwise

import pytest

from watchline.streams.clock import Clock, Joints

MS = Fraction(1, 1000)


def run(times, rate=25):
    clock = Clock(MS, Fraction(rate))
    following = [*times[1:], None]
    return [clock.next(a, b) for a, b in zip(times, following, strict=True)], clock


@pytest.mark.parametrize(
    ("times", "expected", "corrected"),
    [
        pytest.param([0, 40, 80], [0, 40, 80], 0, id="good times pass"),
        pytest.param([-80, -40, 0], [-80, -40, 0], 0, id="negative times pass"),
        pytest.param([5, 6, 900, 901], [5, 6, 900, 901], 0, id="variable rate passes"),
        pytest.param([None, None, None], [0, 40, 80], 3, id="none at all: by rate, from 0"),
        pytest.param([100, None, None, 220], [100, 140, 180, 220], 2, id="gaps are filled by rate"),
        pytest.param([0, 40, 40, 80], [0, 40, 41, 80], 1, id="twice the same: one unit later"),
        pytest.param([0, 40, 30, 80], [0, 40, 41, 80], 1, id="back a little: one unit later"),
        pytest.param([0, 40, 99999, 120], [0, 40, 80, 120], 1, id="one time far ahead is a slip"),
        pytest.param([0, 5000, 5040], [0, 5000, 5040], 0, id="a gap that stays is real"),
        pytest.param([0, 40, 60, None, None, 100], [0, 40, 60, 100, 140, 141], 3, id="filled past the next good time"),
    ],
)
def test_times_are_corrected_only_where_they_must_be(times, expected, corrected):
    got, clock = run(times)
    assert got == expected
    assert clock.corrected == corrected


def test_filled_times_do_not_drift_at_a_rate_that_is_no_whole_number_of_units():
    got, _ = run([None] * 3001, rate=Fraction(30000, 1001))
    assert got[-1] == round(3000 * Fraction(1001, 30000) / MS)
    assert all(a < b for a, b in pairwise(got))


def test_end_is_a_frame_after_the_last():
    _, clock = run([0, 40])
    assert clock.end == 80


def shifts(times, step=40):
    joints = Joints(MS)
    return [t + joints.see(t, step) if t is not None else None for t in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([0, 40, 80], [0, 40, 80], id="no joint"),
        pytest.param([1000, 1040, 0, 40], [1000, 1040, 1080, 1120], id="starts anew"),
        pytest.param([1000, 1040, 0, 400, 0, 40], [1000, 1040, 1080, 1480, 1520, 1560], id="two joints"),
        pytest.param([0, 40, 90000, 120, 160], [0, 40, 90000, 120, 160], id="one wrong time is no joint"),
        pytest.param([0, 40, 20, 60], [0, 40, 20, 60], id="a little back is no joint"),
        pytest.param([500, None, 0], [500, None, 540], id="a packet without time"),
    ],
)
def test_joined_recordings_follow_one_another(times, expected):
    assert shifts(times) == expected
