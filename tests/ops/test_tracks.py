"""Tracks keep their numbers: of who walks, crosses, is hidden, is seen badly or rarely; and numbers are not for all."""

from dataclasses import replace

import numpy as np
import pytest
from street_walk import Walk, detections

from watchline.ops.detections import Detections
from watchline.ops.track_scores import Tracked, track_scores
from watchline.ops.tracks import MEMORY, NONE, START, Tracks

RATE = 10
SIZE = (768, 576)
LABELS = ("person", "car", "bus", "bicycle")


def found(*rows):
    """Rows of (left, score) or (left, score, class), of boxes of 20 x 40."""
    full = [(*row, 0)[:3] for row in rows]
    boxes = np.array([(left, 0, left + 20, 40) for left, _, _ in full], np.float32).reshape(-1, 4)
    scores, kinds = np.array([row[1] for row in full], np.float32), np.array([row[2] for row in full], np.int64)
    return Detections(boxes, scores, kinds, LABELS)


def run(frames, rate=RATE, tracks=None):
    """The numbers frame by frame."""
    tracks = tracks or Tracks()
    return [tracks.update(found(*rows), index / rate, SIZE).tolist() for index, rows in enumerate(frames)]


def test_two_who_walk_keep_their_numbers():
    assert run([[(3 * n, 0.9), (200 - 3 * n, 0.8)] for n in range(20)]) == [[1, 2]] * 20


def test_who_cross_keep_their_numbers():
    """In between, a box may be anyone's; afterwards nobody has the other's number."""
    numbers = run([sorted([(8 * n, 0.9), (160 - 8 * n, 0.9)]) for n in range(21)])
    assert numbers[0] == [1, 2]
    assert numbers[-1] == [2, 1]


def test_who_is_hidden_for_a_while_is_the_same_afterwards():
    frames = [[] if 10 <= n < 20 else [(4 * n, 0.9)] for n in range(30)]
    assert run(frames) == [[] if 10 <= n < 20 else [1] for n in range(30)]


def test_who_comes_back_too_late_is_someone_else():
    missing = round((MEMORY + 0.2) * RATE)
    frames = [[(50, 0.9)]] * 5 + [[]] * missing + [[(50, 0.9)]] * 5
    assert run(frames)[-1] == [2]


def test_a_new_object_gets_its_number_when_it_was_seen_again():
    assert run([[], [(0, 0.9)], [(2, 0.9)]]) == [[], [NONE], [1]]
    assert run([[], [(0, 0.9)], [], [(300, 0.9)]])[-1] == [NONE]


def test_an_unsure_box_continues_a_track_and_begins_none():
    assert run([[(0, 0.9)], [(1, 0.9)], [(2, 0.3)], [(3, 0.25)], [(4, 0.9)]])[1:] == [[1]] * 4
    assert run([[(0, 0.3)]] * 9) == [[NONE]] * 9


def test_what_never_scores_much_has_no_number_and_takes_no_one_s():
    """A thing that a detector takes for a person, and a person who passes in front of it, where the two are one box."""
    thing = (100, START - 0.15)
    numbers = run([[(5 * n, 0.9), thing] if abs(5 * n - 100) > 12 else [(5 * n, 0.9)] for n in range(41)])
    assert {row[0] for row in numbers} == {1}
    assert {row[1] for row in numbers if len(row) > 1} == {NONE}


def test_near_classes_may_swap_and_others_may_not():
    frames = [[(2 * n, 0.9, 1 if n % 2 else 2)] for n in range(6)]
    assert run(frames) == [[1]] * 6
    frames = [[(2 * n, 0.9, 1 if n < 3 else 0)] for n in range(6)]
    assert run(frames) == [[1], [1], [1], [NONE], [2], [2]]


@pytest.mark.parametrize("rate", [1, 3, 10, 30])
def test_time_counts_and_not_frames(rate):
    """12 pixels in a second, at any rate."""
    frames = [[(12 * n / rate, 0.9)] for n in range(5 * rate)]
    numbers = run(frames, rate)
    assert {number for [number] in numbers} == {1}


def test_frames_may_be_missing():
    tracks = Tracks()
    for index in range(60):
        if index % 7 not in (2, 3, 5):
            assert tracks.update(found((3 * index, 0.9)), index / 25, SIZE).tolist() == [1]


def test_between_looks_tracks_go_on_as_they_went():
    tracks = Tracks()
    for index in range(0, 20, 2):
        tracks.update(found((3 * index, 0.9), (400, 0.8)), index / RATE, SIZE)
    first, second = tracks.between(1.9, SIZE)
    assert (first.number, first.seen, first.box) == (1, 1.8, pytest.approx((57, 0, 77, 40), abs=0.5))
    assert (second.number, second.box) == (2, pytest.approx((400, 0, 420, 40), abs=0.5))
    assert tracks.between(1.9, SIZE) == [first, second], "it changes nothing"
    assert tracks.update(found((60, 0.9), (400, 0.8)), 2.0, SIZE).tolist() == [1, 2]


def test_between_looks_nothing_is_invented():
    """Before the first look, of who has no number, of who was hidden at the last look, has left by now, or is lost."""
    tracks = Tracks()
    assert tracks.between(0, SIZE) == []
    for index in range(10):
        tracks.update(found((680 + 8 * index, 0.9), (300, 0.9), (50, 0.9)), index / RATE, SIZE)
    tracks.update(found((760, 0.9), (300, 0.9), (200, 0.9)), 1.0, SIZE)
    assert [one.number for one in tracks.between(1.05, SIZE)] == [2], (
        "1 has left, 3 is hidden, the new one has no number"
    )
    assert [one.number for one in tracks.between(1 + MEMORY, SIZE)] == [2]
    assert tracks.between(1.1 + MEMORY, SIZE) == []


def test_between_looks_boxes_stay_inside_the_picture():
    tracks = Tracks()
    for index in range(10):
        tracks.update(found((670 + 8 * index, 0.9)), index / RATE, SIZE)
    [track] = tracks.between(1.05, SIZE)
    assert track.box == pytest.approx((754, 0, SIZE[0], 40), abs=1)


def test_a_track_says_since_when_how_sure_and_when_it_ended():
    tracks = Tracks()
    for index in range(10):
        tracks.update(found((2 * index, 0.8, 1)), 5 + index / RATE, SIZE)
    [track] = tracks.known()
    assert (track.number, track.kind, track.since, track.seen) == (1, 1, 5, pytest.approx(5.9))
    assert track.score == pytest.approx(0.8)
    assert track.box == (18, 0, 38, 40)
    tracks.update(found(), 5.9 + MEMORY, SIZE)
    assert (tracks.ended, len(tracks.known())) == ([], 1)
    tracks.update(found(), 6 + MEMORY, SIZE)
    assert (tracks.ended, tracks.known()) == ([replace(track, ended="lost")], [])
    tracks.update(found(), 7 + MEMORY, SIZE)
    assert tracks.ended == []


def test_who_leaves_is_not_waited_for():
    """Who comes in at that side soon afterwards is someone else."""
    tracks = Tracks()
    for index in range(10):
        tracks.update(found((680 + 8 * index, 0.9)), index / RATE, SIZE)
    [track] = tracks.known()
    for index in range(10, 13):
        tracks.update(found(), index / RATE, SIZE)
        if tracks.ended:
            break
    assert tracks.ended == [replace(track, ended="left")]
    for index in range(13, 16):
        numbers = tracks.update(found((740 - 8 * (index - 13), 0.9)), index / RATE, SIZE)
    assert numbers.tolist() == [2]


def test_boxes_that_cannot_be_do_no_harm():
    """Without area, far outside, many in one place, and a clock that goes back."""
    odd = Detections(
        np.array([[5, 5, 5, 5], [-1e6, 0, 1e6, 10], *[[0, 0, 20, 40]] * 9], np.float32),
        np.full(11, 0.9, np.float32),
        np.zeros(11, np.int64),
        LABELS,
    )
    tracks = Tracks()
    for seconds in (0, 0.1, 0.1, 0.05, 3):
        numbers = tracks.update(odd, seconds, SIZE)
        given = numbers[numbers != NONE].tolist()
        assert len(given) == len(set(given))


def test_the_same_boxes_give_the_same_numbers():
    walk = Walk(seed=5)
    frames = [detections(walk, index, missed=0.2, moved=3.0, false=0.5) for index in range(100)]
    runs = [
        [tracks.update(one, index / walk.rate, SIZE).tolist() for index, one in enumerate(frames)]
        for tracks in (Tracks(), Tracks())
    ]
    assert runs[0] == runs[1]


def test_people_who_are_nearly_always_seen_keep_their_identity():
    """5 % missed, 2 pixels of jitter, 0.1 false boxes a frame. More than 0.974 cannot be, where 5 % have no box."""
    scores = [judged(Walk(seed, rate=25)) for seed in range(3)]
    assert sum(one.idf1 for one in scores) / len(scores) >= 0.97
    assert sum(one.switches for one in scores) <= 1


def judged(walk):
    tracks, truth, tracked = Tracks(), [], []
    for index in range(25 * walk.rate):
        one = detections(walk, index, missed=0.05, moved=2.0, false=0.1)
        numbers = tracks.update(one, index / walk.rate, SIZE)
        kept = numbers != NONE
        tracked.append(Tracked(numbers[kept], one.xyxy[kept]))
        truth.append(walk.at(index))
    return track_scores(truth, tracked)
