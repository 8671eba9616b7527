"""Intervals hold what other data of the same kind would give; frames of a video are drawn in blocks."""

from functools import partial

import numpy as np
import pytest

from watchline.measure import bootstrap


def test_each_sample_has_as_many_pictures_and_each_picture_is_as_likely():
    drawn = bootstrap.weights(30, 4000, 0)
    assert (drawn.sum(axis=1) == 30).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(30), abs=0.06)
    assert drawn.var() == pytest.approx(29 / 30, abs=0.05)  # of a binomial distribution
    assert (bootstrap.weights(30, 9, 0) == bootstrap.weights(30, 9, 0)).all()


def test_blocks_are_frames_in_a_row_around_the_end():
    drawn = bootstrap.weights(7, 500, 0, block=3)
    assert (drawn.sum(axis=1) == 9).all()  # three blocks of three
    assert drawn.mean(axis=0) == pytest.approx(np.full(7, 9 / 7), abs=0.15)
    assert (bootstrap.weights(7, 50, 0, block=7) == 1).all()
    single = bootstrap.weights(4, 50, 0, block=3)  # two blocks of three
    rows = {tuple(row) for row in single.tolist()}
    blocks = [np.roll([1, 1, 1, 0], n) for n in range(4)]
    assert rows == {tuple((a + b).tolist()) for a in blocks for b in blocks}


def share(found, weights=None):
    """A scorer of the share of pictures that are right."""
    times = np.ones((1, len(found)), np.int64) if weights is None else weights
    value = times @ found / times.sum(axis=1)
    return {"mean": {"AP": value[0] if weights is None else value}}


@pytest.mark.parametrize(("are_frames", "least", "most"), [(True, 30, 40), (False, 0, 20)])
def test_the_interval_of_a_video_holds_the_figure_of_most_others(are_frames, least, most):
    """Of 40 videos of 900 frames, in which a model is right or wrong, by chance, for 15 frames in a row."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(40):
        found = np.repeat(rng.random(60) < 0.5, 15).astype(np.int64)
        [figures] = bootstrap.figures([partial(share, found)], 900, 200, 0, are_frames)
        low, high = figures.intervals["mean"]["AP"]
        held += low <= 0.5 <= high
    assert least <= held <= most


@pytest.mark.parametrize("are_frames", [True, False])
def test_many_samples_are_drawn_in_parts_which_change_nothing(monkeypatch, are_frames):
    found = np.random.default_rng(1).random(50)
    seen = []

    def score(weights=None):
        seen.append(0 if weights is None else weights.size)
        return share(found, weights)

    [at_once] = bootstrap.figures([score], 50, 1000, 0, are_frames)
    assert max(seen) == 50_000
    monkeypatch.setattr(bootstrap, "MOST_WEIGHTS", 3333)
    seen.clear()
    [in_parts] = bootstrap.figures([score], 50, 1000, 0, are_frames)
    assert max(seen) <= 3333
    assert in_parts.intervals == at_once.intervals


def test_without_samples_there_are_no_intervals():
    [figures] = bootstrap.figures([partial(share, np.ones(4, np.int64))], 4, samples=0)
    assert (figures.table["mean"]["AP"], figures.intervals, figures.differences) == (1, None, None)
