"""What is known of tracks stays with them: also where their numbers change, and not where it is somebody else."""

import numpy as np
import pytest

from watchline.ops.detections import Detections
from watchline.ops.followed import Followed

LABELS = ("person", "car")


def found(*seen):
    """Args: number, x, and maybe the class, of objects of 20 x 40."""
    seen = [(*one, 0)[:3] for one in seen]
    boxes = np.array([(x - 10, 50, x + 10, 90) for _, x, _ in seen], np.float32).reshape(-1, 4)
    numbers, kinds = np.array([n for n, *_ in seen], np.int64), np.array([kind for *_, kind in seen], np.int64)
    return Detections(boxes, np.ones(len(seen)), kinds, LABELS, numbers)


def after(*frames, alive=(1, 2, 3)):
    """The states of each frame's tracks, by number: 0 of the first that begins, 1 of the next. A frame is 0.1 s."""
    states = iter(range(9))
    followed = Followed(lambda: next(states))
    told = []
    for n, frame in enumerate(frames):
        told.append({one.number: one.state for _, one in followed.update(found(*frame), alive, n / 10)})
    return told, followed


def test_each_track_has_a_state_and_a_row():
    followed = Followed(list)
    seen = followed.update(found((2, 50), (-1, 90), (1, 120)), (1, 2), 0.0)
    assert [(row, one.number, one.label) for row, one in seen] == [(0, 2, "person"), (2, 1, "person")]
    assert after([(1, 50)], [(1, 53)], [(1, 56)])[0] == [{1: 0}] * 3


def test_a_new_number_of_who_goes_on_keeps_the_state():
    told, _ = after([(1, 50)], [(1, 54)], [], [(2, 62)], [(2, 66)])
    assert told == [{1: 0}, {1: 0}, {}, {2: 0}, {2: 0}]


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([[(1, 50)], [(1, 54)], [(1, 58), (2, 60)]], "both are seen"),
        ([[(1, 50)], [(1, 54)], [], [(2, 30)]], "it comes from where the other went away from"),
        ([[(1, 50)], [(1, 54)], [], [(2, 62, 1)]], "it is of another class"),
        ([[(1, 50)], [(1, 50)], *[[]] * 11, [(2, 50)]], "it comes too late"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_somebody_else_begins_anew(frames, why):
    told, _ = after(*frames)
    assert told[-1][2] == 1, why


def test_the_nearest_goes_on():
    told, _ = after([(1, 50), (2, 70)], [(1, 50), (2, 70)], [(3, 66)])
    assert told[-1] == {3: 1}


def test_who_is_over_is_gone_once():
    followed = Followed(list)
    followed.update(found((1, 50), (2, 90)), (1, 2), 0.0)
    followed.update(found(), (1, 2), 0.1)
    assert (len(followed.known()), followed.gone) == (2, [])
    followed.update(found(), (2,), 0.2)
    assert ([one.number for one in followed.known()], [one.number for one in followed.gone]) == ([2], [1])
    followed.update(found(), (2,), 0.3)
    assert followed.gone == []


def test_who_was_over_and_found_again_at_once_is_not_gone():
    followed = Followed(list)
    for n in range(3):
        followed.update(found((1, 50)), (1,), n / 10)
    followed.update(found((2, 50)), (2,), 0.4)
    assert ([one.number for one in followed.known()], followed.gone) == ([2], [])
