"""Letterbox: sizes that fit, pixels at the top left, boxes that come back where they were."""

import numpy as np
import pytest

from watchline.engines.resizing import PAD, RESIZES
from watchline.ops.letterbox import GREY, RULES, Fit, fit

SOURCES = [(1, 1), (7, 9999), (9999, 7), (640, 272), (1280, 720), (1920, 1080), (7680, 4320), (416, 416), (415, 417)]
NETWORKS = [(416, 416), (288, 288), (640, 384), (32, 320), (1, 1)]


@pytest.mark.parametrize(
    ("source", "network", "inner"),
    [
        ((640, 272), (416, 416), (416, 177)),  # 176.8
        ((1280, 720), (416, 416), (416, 234)),
        ((720, 1280), (416, 416), (234, 416)),
        ((7680, 4320), (416, 416), (416, 234)),
        ((1, 1), (416, 416), (416, 416)),  # small pictures are enlarged
        ((7, 9999), (416, 416), (1, 416)),  # 0.29 wide: at least a pixel
        ((9999, 7), (416, 416), (416, 1)),
        ((416, 416), (416, 416), (416, 416)),
        ((100, 50), (640, 384), (640, 320)),  # inputs need not be square
        ((4, 3), (2, 2), (2, 2)),  # 1.5 goes up
    ],
)
def test_sizes_by_hand(source, network, inner):
    assert fit(source, network).inner == inner


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("source", SOURCES)
def test_the_picture_fits_touches_an_edge_and_keeps_its_aspect(source, network):
    width, height = fit(source, network).inner
    assert 1 <= width <= network[0]
    assert 1 <= height <= network[1]
    assert width == network[0] or height == network[1]
    scale = min(network[0] / source[0], network[1] / source[1])
    assert abs(width - source[0] * scale) <= 0.5 or width == 1
    assert abs(height - source[1] * scale) <= 0.5 or height == 1


def test_no_size_depends_on_rounding_errors():
    """For every width up to 2000: the picture never sticks out, not by one pixel."""
    for width in range(1, 2001):
        w, h = fit((width, 1080), (416, 416)).inner
        assert max(w, h) == 416
        assert min(w, h) >= 1


@pytest.mark.parametrize("source", SOURCES)
def test_stretch_fills_the_input(source):
    assert fit(source, (416, 288), "stretch").inner == (416, 288)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("source", SOURCES)
def test_boxes_come_back(source, network, rule):
    place = fit(source, network, rule)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1).reshape(50, 4)  # x1 y1 x2 y2 as shares of the picture
    corners[0] = 0, 0, 1, 1
    there = (corners * np.array(place.inner * 2) + np.array(place.corner * 2)).astype(np.float32)
    back = place.to_source(there)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, corners * np.array(source * 2), atol=max(source) * 1e-6)
    assert back[0].tolist() == [0, 0, *source]  # the whole picture, exactly


def test_boxes_go_to_the_input_as_they_come_back():
    boxes = np.array([[3.5, 10, 100, 250.25]], np.float32)
    for rule in RULES:
        place = fit((640, 272), (288, 288), rule)
        assert np.allclose(place.to_source(place.to_network(boxes)), boxes, atol=1e-3)


def test_boxes_in_the_padding_are_cut():
    place = fit((640, 272), (416, 416))
    boxes = np.array([[-9, -9, 500, 500], [100, 300, 200, 400]], np.float32)
    back = place.to_source(boxes)
    assert back[0].tolist() == [0, 0, 640, 272]
    assert back[1, 1] == back[1, 3] == 272  # nothing of it is left


def test_no_boxes_stay_no_boxes():
    assert fit((640, 272), (416, 416)).to_source(np.empty((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize(("source", "network"), [((640, 272), (416, 416)), ((7, 9999), (64, 32)), ((3, 3), (8, 8))])
def test_the_picture_lies_at_the_top_left_on_grey(source, network):
    place = fit(source, network)
    width, height = place.inner
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    batch = np.zeros((2, network[1], network[0], 3), np.uint8)
    place.place(pixels, batch[1])
    np.testing.assert_array_equal(batch[1, :height, :width], pixels)
    outside = np.ones(batch.shape[1:3], bool)
    outside[:height, :width] = False
    assert (batch[1][outside] == GREY).all()
    assert not batch[0].any()  # the neighbour in the batch


@pytest.mark.parametrize(
    ("source", "network", "inner", "corner"),
    [  # as `letterbox_image` of Darknet computes them
        ((640, 272), (416, 416), (416, 176), (0, 120)),  # 176.8 goes down
        ((272, 640), (416, 416), (176, 416), (120, 0)),
        ((3, 2), (416, 416), (416, 277), (0, 69)),  # the odd row lies below
        ((416, 416), (416, 416), (416, 416), (0, 0)),
        ((9999, 7), (416, 416), (416, 1), (0, 207)),
    ],
)
def test_in_the_middle_as_darknet_has_it(source, network, inner, corner):
    place = fit(source, network, "letterbox-darknet")
    assert (place.inner, place.corner) == (inner, corner)
    pixels = np.random.default_rng(0).integers(0, 256, (inner[1], inner[0], 3), np.uint8)
    canvas = np.zeros((network[1], network[0], 3), np.uint8)
    place.place(pixels, canvas, (1, 2, 3))
    inside = (slice(corner[1], corner[1] + inner[1]), slice(corner[0], corner[0] + inner[0]))
    np.testing.assert_array_equal(canvas[inside], pixels)
    outside = np.ones(canvas.shape[:2], bool)
    outside[inside] = False
    assert (canvas[outside] == (1, 2, 3)).all()


def ultralytics(source, network):
    """Sides and corner as `LetterBox(auto=False)` computes them: of the picture, and of the border above and left."""
    (width, height), (full_width, full_height) = source, network
    r = min(full_height / height, full_width / width)
    inner = round(width * r), round(height * r)
    dw, dh = (full_width - inner[0]) / 2, (full_height - inner[1]) / 2
    return inner, (round(dw - 0.1), round(dh - 0.1))


@pytest.mark.parametrize(
    ("source", "inner", "corner"),
    [  # known from its `LetterBox` at 640
        ((704, 576), (640, 524), (0, 58)),  # 523.6 goes up
        ((854, 480), (640, 360), (0, 140)),  # 359.7
        ((427, 320), (640, 480), (0, 80)),  # 479.6
        ((1920, 1080), (640, 360), (0, 140)),
        ((1280, 721), (640, 360), (0, 140)),  # 360.5 goes to the even side
        ((1280, 723), (640, 362), (0, 139)),  # 361.5 too
    ],
)
def test_in_the_middle_as_ultralytics_has_it(source, inner, corner):
    place = fit(source, (640, 640), "letterbox-center")
    assert (place.inner, place.corner) == (inner, corner) == ultralytics(source, (640, 640))


def test_at_the_top_left_as_yolox_has_it():
    """`preproc`: int() of the sides times the ratio, whose rounding may cost a pixel of the side that fits."""
    assert fit((640, 427), (416, 416), "letterbox-floor").inner == (416, 277)  # 277.55
    rng = np.random.default_rng(0)
    for width, height in rng.integers(8, 4000, (2000, 2)).tolist():
        r = min(416 / height, 416 / width)
        place = fit((width, height), (416, 416), "letterbox-floor")
        assert (place.inner, place.corner) == ((max(1, int(width * r)), max(1, int(height * r))), (0, 0))


def test_every_size_is_ultralytics_s():
    rng = np.random.default_rng(0)
    for source in rng.integers(8, 4000, (2000, 2)).tolist():
        for network in ((640, 640), (640, 384), (416, 416)):
            place = fit(tuple(source), network, "letterbox-center")
            inner, corner = ultralytics(source, network)
            if min(inner) > 0:  # it refuses pictures of no pixel
                assert (place.inner, place.corner) == (inner, corner)


@pytest.mark.parametrize(
    ("pixels", "canvas"), [((177, 415, 3), (416, 416, 3)), ((177, 416, 3), (416, 415, 3)), ((177, 416), (416, 416, 3))]
)
def test_pixels_of_another_size_are_refused(pixels, canvas):
    place = fit((640, 272), (416, 416))
    with pytest.raises(ValueError, match=r"expected a picture resampled to \(177, 416, 3\)"):
        place.place(np.zeros(pixels, np.uint8), np.zeros(canvas, np.uint8))


@pytest.mark.parametrize(
    ("source", "network", "rule", "says"),
    [
        ((0, 5), (416, 416), "letterbox", "at least 1 pixel"),
        ((5, 5), (416, -1), "stretch", "at least 1 pixel"),
        ((5, 5), (416, 416), "crop", "expected one of letterbox, letterbox-center, stretch"),
    ],
)
def test_what_cannot_be_is_refused(source, network, rule, says):
    with pytest.raises(ValueError, match=says):
        fit(source, network, rule)


def test_a_fit_can_be_a_key():
    assert {fit((640, 272), (416, 416)): 1}[Fit((640, 272), (416, 416), (416, 177))] == 1


def test_the_rules_and_the_padding_are_those_of_the_metadata():
    """Engines and these functions do not import one another."""
    assert RULES == RESIZES
    assert GREY == PAD
    for rule in RESIZES:
        assert fit((640, 272), (96, 64), rule).network == (96, 64)
