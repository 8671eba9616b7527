"""Which objects are new: seen for half a second, told once, also where they move, come back, or have tracks."""

import numpy as np

from watchline.ops.detections import Detections
from watchline.ops.new_objects import MEMORY, STEADY, NewObjects

LABELS = ("person", "car")


def found(*rows, tracks=None):
    """Rows of (left, class)."""
    boxes = np.array([(left, 0, left + 20, 40) for left, _ in rows], np.float32).reshape(-1, 4)
    count = len(rows)
    return Detections(
        boxes,
        np.full(count, 0.5, np.float32),
        np.array([kind for _, kind in rows], np.int64),
        LABELS,
        None if tracks is None else np.array(tracks, np.int64),
    )


def told(memory, *moments, **how):
    """(seconds, rows) -> which were told then."""
    return [memory.among(found(*rows, **how), seconds) for seconds, rows in moments]


def test_an_object_is_told_once_when_it_has_been_seen_for_a_while():
    moments = [(n / 10, [(100 + 2 * n, 0)]) for n in range(30)]  # it walks by more than its width
    assert [n for n, rows in enumerate(told(NewObjects(), *moments)) if rows] == [round(STEADY * 10)]


def test_what_shows_for_a_moment_is_not_told():
    assert told(NewObjects(), (0, [(0, 0)]), (0.4, [(0, 0)]), (0.5, []), (3, [(0, 0)])) == [[], [], [], []]


def test_another_class_is_another_object():
    memory = NewObjects()
    assert told(memory, (0, [(0, 0)]), (1, [(0, 0)]), (1.1, [(0, 1)]), (2, [(0, 1)])) == [[], [0], [], [0]]


def test_who_comes_back_after_a_while_is_new():
    late = 1 + MEMORY + 0.1
    memory = NewObjects()
    assert told(memory, (0, [(0, 0)]), (1, [(0, 0)]), (late, [(0, 0)]), (late + 1, [(0, 0)])) == [[], [0], [], [0]]


def test_two_that_overlap_are_two():
    memory = NewObjects()
    assert told(memory, (0, [(0, 0), (8, 0)]), (1, [(0, 0), (8, 0)])) == [[], [0, 1]]


def test_one_at_a_time_and_the_others_later():
    memory = NewObjects()
    rows = found((0, 0), (100, 0))
    memory.among(rows, 0)
    assert [memory.among(rows, seconds, most=1) for seconds in (1, 1.1, 1.2)] == [[0], [1], []]


def test_who_has_no_track_yet_is_known_by_his_box():
    memory = NewObjects()
    assert memory.among(found((0, 0), (100, 0), tracks=[-1, -1]), 0) == []
    assert memory.among(found((2, 0), (100, 0), tracks=[5, -1]), 1) == [0, 1]
    assert memory.among(found((300, 0), (100, 0), tracks=[5, -1]), 1.1) == []


def test_a_track_is_an_object_wherever_it_is():
    memory = NewObjects()
    memory.among(found((0, 0), tracks=[7]), 0)
    assert memory.among(found((500, 0), tracks=[7]), 1) == [0]
    assert memory.among(found((500, 0), tracks=[8]), 1.1) == []
