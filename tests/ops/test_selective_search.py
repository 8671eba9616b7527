"""Selective Search: the hierarchy against a slow one, and proposals that hold the objects of a picture."""

import cv2
import numpy as np
import pytest

from watchline.ops.boxes import iou
from watchline.ops.region_similarity import boxes_of, describe, neighbours, similarities
from watchline.ops.selective_search import FAST, SPACES, Mode, hierarchy, proposals, searched, selective_search

pytest.importorskip("skimage")


def slowly(planes, parts, measures):
    """The boxes of the hierarchy: everything is described anew after each merge, and all pairs are compared."""
    parts, numbers = parts.copy(), list(range(int(parts.max()) + 1))
    boxes = boxes_of(parts).tolist()
    while len(numbers) > 1:
        compact = np.searchsorted(numbers, parts)
        regions, touching = describe(planes, compact), neighbours(compact)
        likeness = similarities(regions, touching[:, 0], touching[:, 1], measures)
        # of equal ones, the pair whose regions are the oldest
        i, j = min(zip(-likeness, touching.tolist(), strict=True), key=lambda pair: (pair[0], *pair[1]))[1]
        new = len(boxes)
        parts[np.isin(parts, [numbers[i], numbers[j]])] = new
        numbers = sorted({*numbers, new} - {numbers[i], numbers[j]})
        y, x = np.nonzero(parts == new)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return boxes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("measures", ["CTSF", "TSF", "C"])
def test_the_hierarchy_is_that_of_comparing_all_pairs_each_time(seed, measures):
    rng = np.random.default_rng(seed)
    planes = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (32, 24), interpolation=cv2.INTER_CUBIC)
    parts = np.arange(12, dtype=np.int32).reshape(3, 4).repeat(8, 0).repeat(8, 1)
    parts[::3] = np.roll(parts[::3], 2, axis=1)  # ragged edges, and more neighbours
    found = hierarchy(describe(planes, parts), neighbours(parts), measures)
    assert len(found) == 2 * 12 - 1
    assert found[-1].tolist() == [0, 0, 32, 24]
    assert found.tolist() == slowly(planes, parts, measures)


@pytest.fixture
def picture():
    """Things of several sizes on a textured ground, and their boxes."""
    rng = np.random.default_rng(1)
    image = np.clip(rng.normal(120, 12, (160, 200, 3)), 0, 255).astype(np.uint8)
    cv2.rectangle(image, (20, 20), (69, 99), (30, 60, 200), -1)
    cv2.circle(image, (140, 60), 30, (200, 180, 40), -1)
    cv2.rectangle(image, (100, 120), (119, 139), (60, 200, 60), -1)
    return image, np.array([[20, 20, 70, 100], [110, 30, 171, 91], [100, 120, 120, 140]], np.float32)


def test_objects_of_all_sizes_have_a_box(picture):
    image, truth = picture
    boxes = selective_search(image)
    assert boxes.dtype == np.float32
    assert len(np.unique(boxes, axis=0)) == len(boxes) < 2000
    assert (iou(truth, boxes).max(1) > 0.8).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [200, 160]).all()


def test_the_same_seed_gives_the_same_order(picture):
    image, _ = picture
    assert np.array_equal(selective_search(image), selective_search(image))
    other = selective_search(image, seed=1)
    assert not np.array_equal(other, selective_search(image))
    assert set(map(tuple, other.tolist())) == set(map(tuple, selective_search(image).tolist()))


def test_more_segmentations_find_more(picture):
    image, _ = picture
    one = Mode(("Lab",), (100,), ("CTSF",))
    assert len(selective_search(image, one)) < len(selective_search(image, FAST))


@pytest.mark.parametrize("space", SPACES)
def test_a_picture_of_one_colour_is_one_region(space):
    image = np.full((40, 50, 3), 90, np.uint8)
    assert selective_search(image, Mode((space,), (50,), ("CTSF",))).tolist() == [[0, 0, 50, 40]]


def test_light_does_not_change_the_shares_of_colours():
    image = np.array([[[10, 40, 30], [20, 80, 60]]], np.uint8)
    shares = SPACES["rgI"](image)
    assert np.abs(shares[0, 0, :2].astype(int) - shares[0, 1, :2]).max() <= 1
    assert shares[0, 0, 2] < shares[0, 1, 2]


def test_detectors_take_a_fixed_number_of_boxes_again_if_these_are_fewer(picture):
    image, _ = picture
    boxes = selective_search(image)
    assert (proposals(image, 10) == boxes[:10]).all()
    more = proposals(image, len(boxes) + 7)
    assert (more[: len(boxes)] == boxes).all()
    assert (more[len(boxes) :] == boxes[:7]).all()
    assert [searched(size) for size in ((512, 384), (100, 200), (256, 1))] == [(256, 192), (128, 256), (256, 1)]
