"""How other programs prepare pictures, against those programs or slow loops after them."""

import cv2
import numpy as np
import pytest

from watchline.export.detectors import families
from watchline.measure import own_input
from watchline.measure.own_input import FAMILIES, taps
from watchline.ops.letterbox import fit


def photo(width=60, height=45):
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def resampled(image, width, height, sampling):
    rows, columns = taps(image.shape[0], height, sampling), taps(image.shape[1], width, sampling)
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(float), columns)


@pytest.mark.parametrize(("width", "height"), [(31, 20), (60, 45), (97, 120)])
def test_centres_and_cubic_are_opencvs(width, height):
    for sampling, flag in (("centres", cv2.INTER_LINEAR), ("cubic", cv2.INTER_CUBIC)):
        theirs = cv2.resize(photo().astype(np.float32), (width, height), interpolation=flag)
        np.testing.assert_allclose(resampled(photo(), width, height, sampling), theirs, atol=0.1)


def test_corners_are_darknets():
    """`resize_image` along a row, pixel by pixel."""
    row = photo()[:1]
    expected = []
    for c in range(25):
        x = c * (60 - 1) / (25 - 1)
        left = min(int(x), 58)
        expected.append((1 - (x - left)) * row[0, left] + (x - left) * row[0, left + 1])
    np.testing.assert_allclose(resampled(row, 25, 1, "corners")[0], expected, atol=1e-6)
    assert taps(1, 3, "corners").tolist() == [[1], [1], [1]]
    assert taps(3, 1, "corners").tolist() == [[1, 0, 0]]


def test_smooth_is_the_mean_of_what_a_pixel_covers():
    """Pillow's triangle: by half the size, (1, 3, 3, 1) / 8 around each pixel; enlarged, it is bilinear."""
    np.testing.assert_allclose(taps(8, 4, "smooth")[1], [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0])
    np.testing.assert_allclose(taps(8, 16, "smooth")[4], taps(8, 16, "centres")[4])


@pytest.mark.parametrize("own", [own_input.DARKNET, own_input.DARKNET_FORK, *FAMILIES.values(), own_input.TORCHVISION])
def test_a_picture_is_where_its_place_says(own):
    image = photo(64, 40)
    batch, place = own.fitted(image, (96, 96), (1, 2, 3))
    (x, y), (width, height) = place.corner, place.inner
    inside = batch[0, y : y + height, x : x + width]
    assert np.abs(inside.mean((0, 1)) - image.mean((0, 1))).max() < 6
    outside = np.ones((96, 96), bool)
    outside[y : y + height, x : x + width] = False
    assert (batch[0][outside] == (1, 2, 3)).all()
    ours = fit((64, 40), (96, 96), own.resize)
    assert max(abs(a - b) for a, b in zip(ours.inner, place.inner, strict=True)) <= 4


def test_every_family_has_a_program_or_is_known_to_have_none():
    assert FAMILIES.keys() | own_input.UNKNOWN == families.FAMILIES.keys()
    assert not FAMILIES.keys() & own_input.UNKNOWN


def test_sides_are_rounded_as_each_program_does():
    sides = {own.name: own.place((704, 576), (640, 640))[0] for own in (own_input.DARKNET, *FAMILIES.values())}
    assert {name: sides[name] for name in ("Darknet", "Ultralytics", "YOLOX", "super-gradients")} == {
        "Darknet": (640, 523),
        "Ultralytics": (640, 524),
        "YOLOX": (640, 523),
        "super-gradients": (636, 520),
    }
