"""Groups of packets are spread over the time until the next one, and nothing adds up to an ever longer wait."""

from itertools import accumulate, pairwise

import pytest

from watchline.streams.live.pace import MOST, WINDOW, Pace

STEP = 0.05


def waits(packets, pace=None):
    """Args: (time, arrival) of packets. Returns: when each is due, and how long it has to wait."""
    pace = pace or Pace()
    due = [pace.due(seconds, arrival) for seconds, arrival in packets]
    return due, [at - arrival for at, (_, arrival) in zip(due, packets, strict=True)]


def groups(count, seconds=2.0, late=lambda group: 0.0, speed=1.0):
    """Packets that come in groups, each when its last one has been made."""
    each = round(seconds / STEP)
    arrivals = accumulate((100 + (group + 1) * seconds + late(group) for group in range(count)), max)
    return [
        ((group * each + n) * STEP * speed, arrival + n * 0.001)
        for group, arrival in enumerate(arrivals)
        for n in range(each)
    ]


def test_a_group_is_spread_and_no_more_than_that():
    due, waited = waits(groups(10))
    assert all(b - a == pytest.approx(STEP) for a, b in pairwise(due))
    assert max(waited) < 2.0


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_after_a_hold_packets_wait_as_long_as_before_within_seconds(seconds):
    _, waited = waits(groups(30, seconds, late=lambda group: 3.0 if group == 5 else 0.0))
    each = round(seconds / STEP)
    settled = 9 + round(2 * WINDOW / seconds)
    assert max(waited[settled * each :]) < seconds + 0.01


def test_groups_that_come_more_or_less_late_do_not_stutter():
    due, _ = waits(groups(20, late=lambda group: 0.1 * (group * 7 % 4)))
    assert all(0 < b - a < 2 * STEP for a, b in pairwise(due[80:]))


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_clock_that_runs_wrong_does_not_age_packets(speed):
    _, waited = waits(groups(300, speed=speed))
    assert max(waited) < 2.0 * 1.1 + 0.1 * (WINDOW + 2.0) + 0.5


def test_times_that_begin_anew_or_leap_continue():
    pace = Pace()
    before, _ = waits(groups(2), pace)
    for first in (0.0, 90_000.0, -5.0):
        after, waited = waits([(first + n * STEP, before[-1] + STEP) for n in range(40)], pace)
        assert after[0] >= before[-1]
        assert all(b - a == pytest.approx(STEP) for a, b in pairwise(after))
        assert max(waited) < 4.1
        before = after


def test_nothing_waits_for_longer_than_a_long_segment():
    _, waited = waits([(n * STEP, 100.0) for n in range(2000)])
    assert max(waited) == pytest.approx(MOST)


def test_a_packet_without_a_time_follows_the_one_before():
    assert waits([(None, 5.0), (0.0, 10.0), (2.0, 10.0), (None, 10.0)])[0] == [5.0, 10.0, 12.0, 12.0]
