"""The figures of tracks: those of slow loops, those that TrackEval gave, and what they must be in plain cases."""

from dataclasses import asdict

import numpy as np
import pytest
import reference

from watchline.ops.track_scores import Tracked, track_scores

FRAMES = 12


def frame(*objects):
    """Args: objects, (id, left) of boxes of 20 x 40."""
    boxes = [(left, 0, left + 20, 40) for _, left in objects]
    return Tracked(np.array([n for n, _ in objects], np.int64), np.array(boxes, np.float32).reshape(-1, 4))


def walk(ids=(1, 2), frames=FRAMES):
    """Two who walk side by side."""
    return [frame(*((n, 3 * index + 100 * k) for k, n in enumerate(ids))) for index in range(frames)]


def scene(seed, frames=25, people=4, missed=0.15, moved=3.0, changed=0.1):
    """True tracks, and tracks with misses, inexact boxes, other ids and false boxes."""
    rng = np.random.default_rng(seed)
    start, step = rng.uniform(0, 120, (people, 2)), rng.normal(0, 4, (people, 2))
    truth, found = [], []
    for index in range(frames):
        corner = start + step * index
        boxes = np.concatenate([corner, corner + np.array([30, 60])], axis=1)
        there, seen = rng.random(people) > 0.1, rng.random(people) > missed
        ids = np.arange(people) + 10 * (rng.random(people) < changed)
        truth.append(Tracked(np.arange(people)[there] + 5, boxes[there].astype(np.float32)))
        inexact = (boxes + rng.normal(0, moved, boxes.shape)).astype(np.float32)
        found.append(Tracked(ids[seen], inexact[seen]))
    return truth, found


def plain(frames):
    return [list(zip(one.ids.tolist(), one.boxes.tolist(), strict=True)) for one in frames]


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_loops(seed):
    truth, found = scene(seed)
    if seed == 2:
        truth[3], found[5] = frame(), frame()
    assert asdict(track_scores(truth, found)) == pytest.approx(reference.track_scores(plain(truth), plain(found)))


# TrackEval's classes HOTA, CLEAR and Identity (github.com/JonathonLuiten/TrackEval) on the boxes of `scene`
TRACKEVAL = {
    0: {
        "hota": 0.5528266,
        "deta": 0.603415,
        "assa": 0.5068218,
        "mota": 0.58125,
        "idf1": 0.7748132,
        "switches": 76,
        "fragments": 98,
        "misses": 74,
        "false": 51,
        "ids": 18,
    },
    1: {
        "hota": 0.5538201,
        "deta": 0.6086588,
        "assa": 0.5044074,
        "mota": 0.5966387,
        "idf1": 0.7820513,
        "switches": 74,
        "fragments": 93,
        "misses": 67,
        "false": 51,
        "ids": 18,
    },
}


@pytest.mark.parametrize("seed", TRACKEVAL)
def test_equals_trackeval(seed):
    scores = asdict(track_scores(*scene(seed, frames=60, people=9)))
    assert {name: scores[name] for name in TRACKEVAL[seed]} == pytest.approx(TRACKEVAL[seed], abs=1e-6)


def test_the_truth_is_perfect_under_any_numbers():
    scores = track_scores(walk(), walk((7, 3)))
    assert (scores.hota, scores.mota, scores.idf1) == pytest.approx((1, 1, 1))
    assert (scores.switches, scores.fragments, scores.misses, scores.false) == (0, 0, 0, 0)
    assert (scores.ids, scores.objects) == (2, 2)


def test_a_change_of_numbers_half_way_costs_half_of_the_identity():
    scores = track_scores(walk(), walk()[: FRAMES // 2] + walk((3, 4))[FRAMES // 2 :])
    assert (scores.switches, scores.ids, scores.idf1) == (2, 4, pytest.approx(0.5))
    assert scores.mota == pytest.approx(1 - 2 / (2 * FRAMES))
    assert scores.assa == pytest.approx(0.5)
    assert scores.deta == pytest.approx(1)


def test_who_is_found_again_is_a_fragment_and_no_switch():
    found = walk()
    found[4] = frame((1, 12))
    scores = track_scores(walk(), found)
    assert (scores.fragments, scores.switches, scores.misses) == (1, 0, 1)


def test_boxes_that_are_far_off_are_false():
    scores = track_scores(walk(), [frame((1, 3 * index + 11)) for index in range(FRAMES)])
    assert (scores.false, scores.misses, scores.idf1) == (FRAMES, 2 * FRAMES, 0)
    assert scores.mota == pytest.approx(-0.5)


@pytest.mark.parametrize(("truth", "found"), [([], []), ([frame()], [frame()]), (walk(), [frame()] * FRAMES)])
def test_without_objects_or_tracks_there_are_figures_too(truth, found):
    scores = track_scores(truth, found)
    assert (scores.hota, scores.idf1, scores.ids) == (0, 0, 0)
    assert (track_scores(found, truth).false, scores.false) == (scores.misses, 0)
