import numpy as np
import pytest

from watchline.train import mixture
from watchline.train.datasets import Sample
from watchline.train.teachers import Labels

IMAGE = np.zeros((40, 60, 3), np.uint8)
REAL = Sample(IMAGE, np.array([[1, 1, 11, 11]], np.float32), np.array([14]), np.array([False]))
SEEN = Labels(
    np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10], [0, 30, 10, 40]], np.float32),
    np.array([0.9, 0.45, 0.2, 0.7], np.float32),
    np.array([14, 6, 6, 1]),
)


def test_sure_teachers_label_unsure_ones_ignore_and_real_boxes_win():
    sample, sure = mixture._added(REAL, SEEN)
    assert sample.boxes.tolist() == [[1, 1, 11, 11], [20, 20, 30, 30], [40, 0, 50, 10], [0, 30, 10, 40]]
    assert sample.ignore.tolist() == [False, False, True, False]
    assert sure.tolist() == pytest.approx([1, 0.75, 1 / 3, 1])


def test_where_people_labelled_a_certain_teacher_is_heeded_but_not_believed():
    sample, _ = mixture._overlooked(REAL, SEEN)
    assert sample.boxes.tolist() == [[1, 1, 11, 11], [0, 30, 10, 40]]
    assert sample.ignore.tolist() == [False, True]


def test_large_pictures_are_kept_smaller_with_their_boxes():
    large = Sample(np.zeros((600, 1152, 3), np.uint8), REAL.boxes * 10, REAL.classes, REAL.ignore)
    kept = mixture._picture((large, np.ones(1, np.float32)), 1)
    assert kept.boxes.tolist() == [[5, 5, 55, 55]]
    assert kept.group == 1
    assert not kept.open.any()
