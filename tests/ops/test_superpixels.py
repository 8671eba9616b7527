"""Superpixels: a partition whose parts keep to edges, and the best that classifying whole parts can give."""

import numpy as np
import pytest

from watchline.ops.errors import ShapesDiffer
from watchline.ops.superpixels import felzenszwalb, majority, slic


@pytest.fixture
def halves():
    """A dark and a bright half with a slanted edge, and which pixels are of which."""
    x, y = np.meshgrid(np.arange(60), np.arange(40))
    bright = (x + y // 2 > 37).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 20, (40, 60, 3))
    return (bright[..., None] * 180 + noise).astype(np.uint8), bright


@pytest.mark.parametrize("way", [lambda image: slic(image, 24), felzenszwalb], ids=["slic", "felzenszwalb"])
def test_parts_are_numbered_and_keep_to_the_edge(way, halves):
    image, bright = halves
    parts = way(image)
    assert parts.shape == bright.shape
    assert np.array_equal(np.unique(parts), np.arange(parts.max() + 1))
    assert 1 < parts.max() + 1 < 60
    assert (majority(parts, bright, void=255) == bright).mean() > 0.97


def test_majority_counts_what_has_a_class():
    parts = np.array([[0, 0, 0, 1, 1], [2, 2, 2, 2, 2]], np.int32)
    classes = np.array([[3, 3, 9, 1, 9], [9, 9, 9, 9, 9]], np.uint8)
    assert majority(parts, classes, void=9).tolist() == [[3, 3, 3, 1, 1], [0] * 5]
    with pytest.raises(ShapesDiffer, match="expected those of one picture"):
        majority(parts, classes[:1], void=9)
