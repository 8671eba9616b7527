import random
from fractions import Fraction
from itertools import pairwise

import pytest

from watchline.streams.live.camera_clock import CameraClock

BASE = Fraction(1, 90_000)
STEP = 3600


def run(times, base=BASE):
    """Args: (pts, arrival) of each picture. Returns: times in seconds, and the clock."""
    clock = CameraClock(base)
    return [clock.see(pts, arrival) / 90_000 for pts, arrival in times], clock


def test_good_times_are_kept_whatever_the_network_does():
    jitter = random.Random(1)
    arrivals = [100 + i / 25 + jitter.random() * 0.3 for i in range(50)]
    arrivals += [105.0 + i / 1000 for i in range(75)]  # three seconds held back, then all at once
    arrivals += [105.1 + i / 25 for i in range(500)]
    seen, clock = run([(7_000_000 + i * STEP, at) for i, at in enumerate(arrivals)])
    assert seen == pytest.approx([i / 25 for i in range(len(arrivals))])
    assert clock.corrected == 0


def test_a_silence_stays_one():
    seen, clock = run([(0, 0.0), (STEP, 0.04), (STEP + 450_000, 5.04)])
    assert seen == pytest.approx([0, 0.04, 5.04])
    assert clock.corrected == 0


@pytest.mark.parametrize("jump", [-(2**31), -200_000, 200_000, 2**32])
def test_a_clock_that_jumps_goes_on_from_the_arrival(jump):
    times = [(i * STEP + (jump if i >= 25 else 0), i / 25) for i in range(50)]
    seen, clock = run(times)
    assert seen == pytest.approx([i / 25 for i in range(50)])
    assert clock.corrected == 1


def test_pictures_out_of_order_are_no_jump():
    order = [0, 3, 1, 2, 6, 4, 5]
    seen, clock = run([(n * STEP, i / 25) for i, n in enumerate(order)])
    assert seen == pytest.approx([n / 25 for n in order])
    assert clock.corrected == 0


@pytest.mark.parametrize("speed", [0.5, 0.97, 1.03, 2.0])
def test_a_clock_of_the_wrong_speed_does_not_run_away(speed):
    seen, _ = run([(round(i * STEP * speed), i / 25) for i in range(25 * 200)])
    apart = max(abs(time - i / 25) for i, time in enumerate(seen))
    assert apart < 1 + 2 * 10 * abs(1 - speed) + 0.1
    assert all(a <= b for a, b in pairwise(seen))


def test_missing_times_are_those_of_arrival():
    seen, clock = run([(None, 10.0), (None, 10.5), (90_000, 11.0), (93_600, 11.5), (None, 12.0)])
    assert seen == pytest.approx([0, 0.5, 1.0, 1.04, 2.0])
    assert clock.corrected == 0


def test_a_burst_at_the_beginning_is_not_ahead_of_its_time():
    """Some servers begin with what they have kept since the last key frame, as fast as they can."""
    seen, _ = run(
        [(i * STEP, i / 1000) for i in range(100)] + [(i * STEP, 0.1 + (i - 99) / 25) for i in range(100, 150)]
    )
    assert seen[99] == pytest.approx(1.1, abs=0.01)
    assert seen[149] - seen[100] == pytest.approx(49 / 25, abs=0.01)
