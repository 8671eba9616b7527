"""Who crosses a line: what flickers, turns back, or passes its ends."""

import numpy as np
import pytest

from watchline.ops.crossings import Crossing
from watchline.ops.regions import Sight, distances

LINE = np.array([(0, 50), (100, 50)], float)  # in is downwards
MARGIN = 5


def crossed(path, line=LINE):
    """The directions in which a path crosses, with the frames that prove it. Args: x and y in each frame."""
    crossing, found = Crossing(), []
    for frame, (x, y) in enumerate(path):
        sight = Sight(frame, frame / 10, 7, x, y)
        away = distances(np.array([(x, y)], float), line)[0]
        if done := crossing.update(sight, away, MARGIN, line):
            found.append((done.direction, done.before.frame, done.after.frame))
    return found


def down(*ys, x=40):
    return [(x, y) for y in ys]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (down(20, 40, 60, 80), [("in", 1, 2)]),
        (down(80, 60, 40), [("out", 1, 2)]),
        (down(20, 80), [("in", 0, 1)]),
        (down(20, 48, 52, 49, 53, 47, 80), [("in", 0, 6)]),
        (down(20, 48, 52, 49, 53, 47, 20), []),
        (down(40, 60, 40), [("in", 0, 1), ("out", 1, 2)]),
        (down(40, 60, 40, 60, 40), [("in", 0, 1), ("out", 1, 2)]),
        (down(50, 52, 70), []),
        (down(20, 60, x=120), []),
        ([(120, 20), (120, 60), (40, 60), (40, 20)], [("out", 2, 3)]),
        ([(98, 40), (98, 52), (105, 52), (105, 40)], []),
        ([(98, 52), (98, 40), (105, 48), (105, 52), (98, 60)], []),
        (down(50.0, 50.0), []),
    ],
    ids=[
        "in",
        "out",
        "in one step",
        "it flickers on the line",
        "it flickers and turns back",
        "in and out",
        "once a direction",
        "begins on the line",
        "beside the line",
        "around its end",
        "through it, and back around its end",
        "begins on the line and walks around its end",
        "on the line",
    ],
)
def test_who_crosses(path, found):
    assert crossed(path) == found


def test_a_turned_line_counts_the_other_way():
    assert crossed(down(20, 80), LINE[::-1]) == [("out", 0, 1)]
