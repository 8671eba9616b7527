import numpy as np
import pytest

from watchline.train import augment
from watchline.train.datasets import Sample


def marked(rng):
    """A dark picture with one bright rectangle, and its box."""
    height, width = int(rng.integers(60, 200)), int(rng.integers(60, 200))
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1 = int(rng.integers(0, width - 30)), int(rng.integers(0, height - 30))
    x2, y2 = x1 + int(rng.integers(20, width - x1 + 1)), y1 + int(rng.integers(20, height - y1 + 1))
    image[y1:y2, x1:x2] = 255
    return Sample(image, np.array([[x1, y1, x2, y2]], np.float32), np.array([3], np.int64), np.array([False]))


def bright_extent(image):
    ys, xs = np.nonzero(image.min(axis=2) > 160)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) if len(xs) else None


@pytest.mark.parametrize("seed", range(30))
def test_the_box_stays_on_its_object(seed, monkeypatch):
    monkeypatch.setattr(augment, "_recolour", lambda image, rng: image)
    rng = np.random.default_rng(seed)
    view = augment.single(marked(rng), 160, rng)
    extent = bright_extent(view.image)
    if len(view.boxes) and extent is not None:
        assert np.abs(view.boxes[0] - extent).max() <= 2.5  # bilinear edges


@pytest.mark.parametrize("seed", range(10))
def test_a_mosaic_keeps_boxes_inside_and_counts_right(seed):
    rng = np.random.default_rng(seed)
    view = augment.mosaic([marked(rng) for _ in range(4)], 160, rng)
    assert view.image.shape == (160, 160, 3)
    assert len(view.boxes) == len(view.classes) == len(view.ignore) <= 4
    assert (view.boxes >= 0).all()
    assert (view.boxes <= 160).all()


def test_what_is_nearly_cut_away_goes_and_what_is_half_cut_is_ignored():
    boxes = np.array([[0, 0, 40, 40]] * 3, np.float32)
    sample = Sample(np.zeros((10, 10, 3), np.uint8), boxes, np.arange(3), np.zeros(3, bool))
    visible = np.array([0.05, 0.2, 0.9], np.float32)
    done = augment._finish(np.zeros((50, 50, 3), np.uint8), [(boxes, sample, visible)], np.random.default_rng(0))
    assert done.classes.tolist() == [1, 2]
    assert done.ignore.tolist() == [True, False]
