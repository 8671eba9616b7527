import json

import numpy as np
import pytest

from watchline.pipeline.meter import Histogram, Meter


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


def test_the_figures_of_two_runs_are_those_of_one_that_did_both():
    durations = np.random.default_rng(0).gamma(2.0, 0.01, (2, 300))
    both, each = Meter(), [Meter(), Meter()]
    both.stage("detector", 3)
    for meter, workers, mine in zip(each, (1, 2), durations, strict=True):
        meter.stage("detector", workers)
        for seconds in mine:
            for one in (meter, both):
                one.worked("detector", 2, [seconds, 2 * seconds], 3 * seconds)
                one.finished(seconds)
    total = Meter()
    for meter in each:
        total.take(json.loads(json.dumps(meter.as_dict())))
    found, wanted = total.stages["detector"], both.stages["detector"]
    assert (found.workers, found.count) == (wanted.workers, wanted.count)
    for mine, its in ((found.queue, wanted.queue), (found.work, wanted.work), (total.latency, both.latency)):
        assert mine.counts.tolist() == its.counts.tolist()
        assert mine.total == pytest.approx(its.total)
