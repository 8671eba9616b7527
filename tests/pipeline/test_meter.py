import numpy as np
import pytest

from watchline.pipeline.meter import Histogram


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1.0, 100.0])
def test_percentiles_are_those_of_the_durations(scale):
    durations = np.random.default_rng(0).gamma(2.0, scale, 5000)
    histogram = Histogram()
    for d in durations:
        histogram.add(float(d))
    for q in (50, 95, 99):
        assert histogram.percentile(q) == pytest.approx(np.percentile(durations, q), rel=0.05)
    assert histogram.total == pytest.approx(durations.sum())


def test_an_empty_histogram_has_no_time():
    assert Histogram().percentile(99) == 0


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6])
def test_durations_outside_the_range_count_at_its_ends(seconds):
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.counts.sum() == 1
