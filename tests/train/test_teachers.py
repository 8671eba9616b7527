import numpy as np
import pytest

from watchline.train.teachers import Looks, fuse, quarters

WHOLE, PART = (0, 0, 100, 80), (0, 0, 60, 48)


def looks(windows, *rows):
    """Rows (look, x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 7)
    return Looks(
        np.array(windows, np.float32),
        table[:, 1:5],
        table[:, 5],
        table[:, 6].astype(np.int64),
        table[:, 0].astype(np.int64),
    )


def test_one_object_is_the_weighted_mean_of_its_boxes_and_scores_are_means_over_looks():
    found = fuse(
        looks([WHOLE] * 4, (0, 10, 10, 30, 50, 0.9, 14), (1, 12, 10, 32, 50, 0.3, 14), (2, 11, 10, 31, 50, 0.6, 14))
    )
    assert found.classes.tolist() == [14]
    assert found.scores[0] == pytest.approx((0.9 + 0.3 + 0.6) / 4)
    expected = (0.9 * 10 + 0.3 * 12 + 0.6 * 11) / 1.8
    assert found.boxes[0].tolist() == pytest.approx([expected, 10, expected + 20, 50])


def test_a_look_counts_once_for_an_object():
    found = fuse(looks([WHOLE] * 2, (0, 10, 10, 30, 50, 0.8, 14), (0, 11, 10, 31, 50, 0.7, 14)))
    assert found.scores.tolist() == pytest.approx([0.4])


def test_classes_and_places_are_apart_and_faint_ones_are_left_out():
    found = fuse(
        looks([WHOLE], (0, 10, 10, 30, 50, 0.9, 14), (0, 10, 10, 30, 50, 0.8, 1), (0, 60, 10, 80, 50, 0.04, 14)),
        least=0.05,
    )
    assert sorted(found.classes.tolist()) == [1, 14]


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ((20, 20, 32, 34), 0.8),  # small, and all of it is in the part: the part's word
        ((20, 20, 32, 44), 0.2),  # too large for that
        ((50, 20, 62, 34), 0.2),  # not all in the part, whose box would be cut
    ],
)
def test_an_enlarged_part_is_believed_about_small_objects(box, score):
    windows = [WHOLE, WHOLE, PART]
    cut = np.minimum(box, [60, 48, 60, 48]).tolist()
    found = fuse(looks(windows, (0, *box, 0.4, 14), (2, *cut, 0.8, 14)))
    assert len(found.boxes) == 1
    assert found.scores[0] == pytest.approx(score)


def test_four_parts_cover_the_picture_and_overlap():
    parts = quarters(100, 80)
    seen = np.zeros((80, 100), int)
    for x1, y1, x2, y2 in parts:
        seen[y1:y2, x1:x2] += 1
    assert seen.min() == 1
    assert seen.max() == 4
    assert len(parts) == 4


def test_nothing_seen_is_nothing():
    assert len(fuse(looks([WHOLE])).boxes) == 0
