"""When a speed is steady: a figure of a machine that still warms up, or is disturbed, would be no figure."""

import pytest

from watchline.measure.speed.windows import Windows


def after(rates: list[float], seconds: float = 2.0) -> Windows:
    windows, now, frames = Windows(seconds, 2), 0.0, 0
    windows.at(now, frames)
    for rate in rates:
        now, frames = now + seconds, frames + round(rate * seconds)
        assert windows.at(now, frames)
    return windows


@pytest.mark.parametrize(
    ("rates", "settled", "why"),
    [
        ([], False, "nothing was seen"),
        ([40, 40], False, "two windows are too few"),
        ([40, 40, 40], True, "three agree"),
        ([10, 40, 42, 44], True, "the slow start does not count"),
        ([40, 42, 45], False, "12 % apart"),
        ([40, 40, 40, 30], False, "something began to disturb"),
    ],
)
def test_the_last_three_must_agree(rates: list[float], settled: bool, why: str) -> None:
    assert after(rates).are_settled is settled, why


def test_the_figure_is_of_the_last_three() -> None:
    windows = after([10, 40, 42, 44])
    assert windows.rates == [10, 40, 42, 44]
    assert windows.fps == pytest.approx(42)
    assert windows.last == ((2.0, 20), (8.0, 272))


def test_a_window_has_enough_seconds_and_frames() -> None:
    windows = Windows(seconds=2, frames=20)
    seen = [windows.at(now, frames) for now, frames in [(0, 0), (1, 30), (2, 31), (4, 40), (9, 50), (9, 51)]]
    assert seen == [True, False, True, False, False, True]
    assert windows.rates == pytest.approx([15.5, 20 / 7])


def test_nothing_is_no_speed() -> None:
    assert after([]).fps == 0
