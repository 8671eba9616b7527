"""Regions and their similarities: what is computed by rows equals what the pixels say."""

import numpy as np
import pytest

from watchline.ops.region_similarity import BINS, boxes_of, describe, neighbours, similarities


@pytest.fixture
def parts():
    """Four regions of 8 x 10 pixels: a frame, two inside it that touch, and one that is in two pieces."""
    found = np.zeros((8, 10), np.int32)
    found[2:4, 2:5] = 1
    found[4:6, 2:5] = 2
    found[7, 0] = found[0, 9] = 3
    return found


@pytest.fixture
def planes():
    return np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)


def test_the_box_of_a_region_holds_all_its_pixels(parts):
    assert boxes_of(parts).tolist() == [[0, 0, 10, 8], [2, 2, 5, 4], [2, 4, 5, 6], [0, 0, 10, 8]]


def test_neighbours_share_a_side_of_a_pixel(parts):
    assert neighbours(parts).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2]]
    corners = np.array([[0, 1], [2, 0]], np.int32)
    assert neighbours(corners).tolist() == [[0, 1], [0, 2]]  # 1 and 2 touch at a corner only


def test_a_region_is_described_by_its_pixels(parts, planes):
    found = describe(planes, parts)
    assert found.size.tolist() == [np.sum(parts == n) for n in range(4)]
    for n in range(4):
        counts = [np.histogram(planes[parts == n][:, c], BINS, (0, 256))[0] for c in range(3)]
        expected = np.concatenate(counts) / np.sum(counts)
        np.testing.assert_allclose(found.colour[n], expected, atol=1e-6)
    np.testing.assert_allclose(found.texture.sum(1), 1, atol=1e-5)


def test_texture_tells_upright_from_level_stripes():
    stripes = np.tile(np.repeat([0, 255], 4), 4).astype(np.uint8)[None].repeat(32, 0)
    pictures = [stripes, stripes.T, np.roll(stripes, 3, axis=1)]
    one, turned, moved = (describe(p[..., None], np.zeros(p.shape, np.int32)).texture[0] for p in pictures)
    assert np.minimum(one, moved).sum() > 0.9
    assert np.minimum(one, turned).sum() < 0.8


def test_a_merged_region_is_the_one_that_its_pixels_would_give(parts, planes):
    merged = describe(planes, parts).with_room(5)
    merged.merge(1, 2, 4)
    joined = describe(planes, np.where(parts == 2, 1, parts % 3))  # 1 and 2 as one, and 3 a part of 0
    assert merged.size[4] == joined.size[1]
    assert merged.box[4].tolist() == joined.box[1].tolist()
    np.testing.assert_allclose(merged.colour[4], joined.colour[1], atol=1e-6)
    np.testing.assert_allclose(merged.texture[4], joined.texture[1], atol=1e-6)


def test_similarities_are_the_papers(parts, planes):
    regions = describe(planes, parts)
    i, j = np.array([0, 1]), np.array([1, 2])
    shared = [float(np.minimum(regions.colour[a], regions.colour[b]).sum()) for a, b in zip(i, j, strict=True)]
    np.testing.assert_allclose(similarities(regions, i, j, "C"), shared, atol=1e-6)
    sizes = [66, 6, 6, 2]
    np.testing.assert_allclose(similarities(regions, i, j, "S"), [1 - (sizes[0] + 6) / 80, 1 - 12 / 80], atol=1e-6)
    # a frame takes in what it surrounds; two halves fill their common box
    np.testing.assert_allclose(similarities(regions, i, j, "F"), [1 - (80 - 72) / 80, 1.0], atol=1e-6)
    together = sum(similarities(regions, i, j, m) for m in "CTSF")
    np.testing.assert_allclose(similarities(regions, i, j, "CTSF"), together, atol=1e-5)
