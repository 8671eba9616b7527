from dataclasses import dataclass
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
        pytest.param([0, 500, 500, 900, 1700], [0, 500, 501, 900, 1700], 1, id="variable rate: only the second moves"),
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


@dataclass
class Packet:
    dts: int | None
    stream_index: int = 0
    duration: int | None = 40


def shifted(packets, bases=None, gap=None):
    """Times by track, in the order in which the packets come."""
    joints = Joints(bases or {0: MS}, gap)
    got = {}
    for packet, shift in [*(pair for p in packets for pair in joints.see(p)), *joints.rest()]:
        got.setdefault(packet.stream_index, []).append(None if packet.dts is None else packet.dts + shift)
    return got


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
    assert shifted(map(Packet, times)) == {0: expected}


def recording(frames, sounds, begin=0):
    """Pictures of 40 ms and blocks of sound of 20 ms (track 1, in half milliseconds)."""
    pictures = [(n * 40, Packet(begin + n * 40)) for n in range(frames)]
    blocks = [(n * 20, Packet(2 * begin + n * 40, 1, 40)) for n in range(sounds)]
    return [packet for _, packet in sorted(pictures + blocks, key=lambda timed: timed[0])]


TWO = {0: MS, 1: MS / 2}


@pytest.mark.parametrize(
    ("frames", "sounds", "end", "begin"),
    [
        pytest.param(25, 50, 1000, 0, id="equally long"),
        pytest.param(25, 80, 1600, 0, id="the sound is longer"),
        pytest.param(50, 20, 2000, 0, id="the pictures are longer"),
        pytest.param(50, 20, 2000, 5700, id="the sound's clock does not go back"),
        pytest.param(25, 50, 1000, 90_000_000, id="the clock seems to have turned over"),
    ],
)
@pytest.mark.parametrize("late", [0, 7], ids=["in order", "the last sounds come late"])
def test_sound_and_pictures_get_one_shift_at_a_joint(frames, sounds, end, begin, late):
    first, second = recording(frames, sounds, 5000), recording(frames, sounds, begin)
    sound = [p for p in first if p.stream_index == 1][len(first) - frames - late :]
    early = [p for p in second if p.stream_index == 0][: late or 0]
    packets = [p for p in first if p not in sound] + early + sound + [p for p in second if p not in early]
    got = shifted(packets, TWO, gap=43_200)
    start = 5000 + end
    assert got[0] == [*range(5000, 5000 + 40 * frames, 40), *range(start, start + 40 * frames, 40)]
    assert sorted(got[1]) == [*range(10_000, 10_000 + 40 * sounds, 40), *range(2 * start, 2 * start + 40 * sounds, 40)]


def test_times_may_jump_ahead_by_days_where_no_clock_turns_over():
    days = list(range(0, 10 * 86_400_000, 86_400_000))
    assert shifted(map(Packet, days)) == {0: days}


def test_a_track_that_has_ended_is_not_waited_for_for_ever():
    packets = [*recording(25, 50), *recording(2000, 0)]
    assert shifted(packets, TWO)[0] == list(range(0, 2025 * 40, 40))
    joints = Joints(TWO)
    assert sum(len(joints.see(p)) for p in packets) == len(packets)
