"""Mixed views: half of one's classes over another, with pixels, classes and soft labels of the same places."""

import numpy as np
import pytest

from watchline.ops.camvid import VOID
from watchline.train.class_mix import View, believed, mixed


def view(seed: int, labelled: bool = True) -> View:
    """Four classes in blocks; the picture's blue is the class, the green the view; sure soft labels."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(4).astype(np.uint8).reshape(2, 2).repeat(4, 0).repeat(4, 1)  # 8 x 8
    fine = classes.repeat(2, 0).repeat(2, 1)
    image = np.stack([fine, np.full_like(fine, seed), np.zeros_like(fine)], axis=2)
    soft = np.eye(4, dtype=np.uint8)[classes] * 255
    return View(image, classes if labelled else np.full_like(classes, VOID), soft)


@pytest.mark.parametrize("seed", range(8))
def test_half_of_the_classes_are_laid_over_with_all_that_is_known_of_them(seed):
    below, above = view(1), view(2)
    found = mixed(below, above, np.random.default_rng(seed))
    from_above = found.image[::2, ::2, 1] == 2
    taken = set(above.classes[from_above].tolist())
    assert len(taken) == 2
    assert np.array_equal(from_above, np.isin(above.classes, sorted(taken)))
    assert np.array_equal(found.image[::2, ::2, 0], found.classes)
    assert np.array_equal(found.soft.argmax(2), found.classes)
    assert np.array_equal(found.classes[~from_above], below.classes[~from_above])


def test_a_view_without_labels_gives_the_classes_that_its_soft_labels_find():
    found = mixed(view(1), view(2, labelled=False), np.random.default_rng(0))
    from_above = found.image[::2, ::2, 1] == 2
    assert from_above.mean() == 0.5
    assert (found.classes[from_above] == VOID).all()  # nobody has labelled them
    assert np.array_equal(found.soft.argmax(2), found.image[::2, ::2, 0])


def test_nothing_is_laid_over_from_a_view_of_which_nothing_is_known():
    unknown = View(view(2).image, np.full((8, 8), VOID, np.uint8), np.empty((8, 8, 0), np.uint8))
    assert (believed(unknown) == VOID).all()
    below = View(view(1).image, view(1).classes, unknown.soft)
    found = mixed(below, unknown, np.random.default_rng(0))
    assert np.array_equal(found.image, below.image)
    assert np.array_equal(found.classes, below.classes)
