import numpy as np
import pytest

from watchline.models.errors import DatasetError
from watchline.train import mixture
from watchline.train.datasets import Sample
from watchline.train.teachers import Labels, Looks, Teachers

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


class Teacher:
    """Sees nothing, and counts how often it looked."""

    count = 0

    def look(self, image, closely):
        self.count += 1
        none = np.zeros(0, np.int64)
        return Looks(np.zeros((1, 4), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), none, none)


def test_a_missing_set_is_named_before_any_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(Teachers, "load", lambda folder: Teacher())
    for name in mixture.SETS[:-1]:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"flickr8k is missing: expected a complete data set"):
        next(mixture.gather(tmp_path, tmp_path / "cache"))
    assert Teacher.count == 0


def test_a_stop_while_a_label_is_written_leaves_no_half_of_it(tmp_path, monkeypatch):
    teacher = Teacher()
    monkeypatch.setattr(Teachers, "load", lambda folder: teacher)
    monkeypatch.setattr(mixture, "SETS", ())
    monkeypatch.setattr(mixture.datasets, "voc", lambda folder, split: iter([REAL]))
    save = np.savez

    def stopped(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stopped)
    with pytest.raises(KeyboardInterrupt):
        next(mixture.gather(tmp_path, tmp_path / "cache"))
    monkeypatch.setattr(np, "savez", save)
    for _ in range(2):
        assert next(mixture.gather(tmp_path, tmp_path / "cache")).boxes.tolist() == [[1, 1, 11, 11]]
    assert teacher.count == 2  # once in vain, once for good
