"""The rolling window: frames per second and latencies over the last seconds."""

import tracemalloc

import numpy as np
import pytest

from watchline.pipeline.window import Window


def beating(rate: float, seconds: float, start: float = 1000.0, **settings: float) -> Window:
    window_ = Window(**settings)
    for index in range(round(rate * seconds)):
        window_.beat(start + index / rate, 0.04)
    return window_


@pytest.mark.parametrize(
    ("rate", "seconds", "now", "expected"),
    [
        pytest.param(30, 60, 1060, 30, id="steady"),
        pytest.param(30, 1, 1001, 29, id="just begun: 29 steps in the second since the first"),
        pytest.param(0.5, 60, 1060, 0.5, id="a frame every other second"),
        pytest.param(30, 60, 1062.5, 15, id="silent for half of the window"),
        pytest.param(30, 60, 1065.1, 0, id="silent for all of it"),
        pytest.param(30, 0, 1000, 0, id="no frame yet"),
        pytest.param(1, 1, 1000, 0, id="one frame, this moment"),
        pytest.param(1000, 10, 1010, 1000, id="more frames than there is room for"),
    ],
)
def test_frames_a_second(rate: float, seconds: float, now: float, expected: float) -> None:
    assert beating(rate, seconds).fps(now) == pytest.approx(expected, rel=0.01, abs=0.2)


def test_a_stream_that_comes_back_is_counted_anew() -> None:
    window_ = beating(25, 10)
    for index in range(25):
        window_.beat(1100 + index / 25, 0.04)
    assert window_.fps(1101) == 25 / 5
    for index in range(25, 126):
        window_.beat(1100 + index / 25, 0.04)
    assert window_.fps(1105.02) == 25


@pytest.mark.parametrize("q", [50, 95])
def test_latencies_are_those_of_the_window(q: float) -> None:
    latencies = np.random.default_rng(7).gamma(4, 0.01, 300)
    window_ = Window(window=2)
    for index, latency in enumerate(latencies):
        window_.beat(index / 100, float(latency))
    now = 2.99
    recent = latencies[np.arange(300) / 100 > now - 2]
    assert window_.latency_ms(q, now) == pytest.approx(np.percentile(recent, q) * 1000)
    assert window_.latency_ms(q, 100) == 0


def test_memory_does_not_grow() -> None:
    window_ = beating(100, 20)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(20_000):
        window_.beat(2000 + index / 100, 0.04)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2000
