"""ILSVRC's localization by hand: five guesses, of which one has to be right in class and place."""

import numpy as np
import pytest

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.localization import figures, guesses

BOX, HALF, ELSEWHERE = (0, 0, 10, 10), (0, 0, 10, 5), (50, 50, 60, 60)


def seen(*rows):
    """Boxes and classes, best first."""
    scores = np.linspace(0.9, 0.1, len(rows), dtype=np.float32)
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Predictions(boxes, scores, np.array([c for _, c in rows], np.int64))


def real(*rows):
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Truth(boxes, np.array([c for _, c in rows], np.int64), np.zeros(len(rows), np.bool_))


@pytest.mark.parametrize(
    ("found", "truth", "top5", "top1", "reason"),
    [
        (seen((BOX, 0)), real((BOX, 0)), 1, 1, "right"),
        (seen((HALF, 0)), real((BOX, 0)), 1, 1, "IoU 0.5 itself is enough"),
        (seen((ELSEWHERE, 0)), real((BOX, 0)), 0, 0, "right class, wrong place"),
        (seen((BOX, 1)), real((BOX, 0)), 0, 0, "wrong class"),
        (seen((BOX, 1), (BOX, 0)), real((BOX, 0)), 1, 0, "the second guess"),
        (seen(*[(BOX, c) for c in (1, 2, 3, 4, 5, 0)]), real((BOX, 0)), 0, 0, "the sixth is none"),
        (seen((ELSEWHERE, 0), (BOX, 0)), real((BOX, 0)), 0, 0, "a class has one box, its best"),
        (seen(*[(BOX, 1)] * 9, (BOX, 0)), real((BOX, 0)), 1, 0, "boxes of one class are one guess"),
        (seen((ELSEWHERE, 0)), real((BOX, 0), (ELSEWHERE, 0)), 1, 1, "any object of the class will do"),
        (seen(), real((BOX, 0)), 0, 0, "nothing found"),
        (seen((BOX, 0)), real((BOX, 0), (BOX, 1)), None, None, "two classes: the picture does not count"),
        (seen((BOX, 0)), real(), None, None, "no object"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_by_hand(found, truth, top5, top1, reason):
    got = figures(guesses([found], [truth]), np.ones(1, np.bool_))
    expected = [np.nan if v is None else v for v in (top5, top1)]
    np.testing.assert_array_equal([got["top-5"], got["top-1"]], expected, reason)


def test_pictures_are_weighted():
    found = [seen((BOX, 0)), seen((BOX, 1)), seen((BOX, 1), (BOX, 0))]
    judged = guesses(found, [real((BOX, 0))] * 3)
    got = figures(judged, np.ones(3, np.bool_), np.array([[1, 1, 1], [0, 1, 3], [0, 0, 0]]))
    np.testing.assert_allclose(got["top-5"], [2 / 3, 3 / 4, np.nan])
    np.testing.assert_allclose(got["top-1"], [1 / 3, 0, np.nan])
