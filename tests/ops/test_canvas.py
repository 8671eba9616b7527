"""What stages may draw: each thing in its layer, whole, inside the picture, and nothing else touched."""

import cv2
import numpy as np
import pytest
from drawings import found, noise, place_of

from watchline.errors import WatchlineError
from watchline.ops.canvas import Canvas
from watchline.ops.colours import colour
from watchline.ops.draw import draw
from watchline.ops.masks import Masks

RED, BLUE = (0, 0, 255), (255, 0, 0)


def black(width=320, height=180):
    return np.zeros((height, width, 3), np.uint8)


def on(canvas, *calls):
    """The picture after some calls of (method, arguments …)."""
    for name, *given in calls:
        getattr(canvas, name)(*given)
    return canvas.picture()


def test_with_nothing_to_draw_the_pixels_are_given_back():
    pixels = noise(64, 48)
    assert Canvas(pixels).picture() is pixels
    nothing = on(
        Canvas(pixels),
        ("detections", found()),
        ("info", ()),
        ("mask", np.zeros((48, 64), bool)),
        ("box", (70, 10, 90, 20), "car"),
    )
    assert nothing is pixels


def test_in_place_the_pixels_themselves_are_drawn_on():
    pixels = noise(64, 48).copy()
    copied = on(Canvas(pixels), ("line", (0, 5), (63, 5), RED))
    assert (copied != pixels).any()
    assert on(Canvas(pixels, in_place=True), ("line", (0, 5), (63, 5), RED)) is pixels
    np.testing.assert_array_equal(pixels, copied)


def test_a_picture_can_be_asked_for_twice_and_added_to():
    pixels = noise(64, 48)
    canvas = Canvas(pixels)
    canvas.line((0, 5), (63, 5), RED)
    first = canvas.picture()
    np.testing.assert_array_equal(canvas.picture(), first)
    assert canvas.picture() is not first
    canvas.line((0, 15), (63, 15), RED)
    assert (canvas.picture()[15] != first[15]).any(axis=1).all()


def test_the_layers_do_not_depend_on_the_order_of_calls():
    mask = np.zeros((180, 320), bool)
    mask[20:120, 20:120] = True
    calls = [
        ("mask", mask, BLUE),
        ("box", (30, 30, 100, 100), "person", 0.9),
        ("info", ("gate", "2 in the zone")),
        ("text", (150, 100), "3 in the zone"),
        ("polygon", [(200, 20), (300, 20), (250, 170)], RED),
    ]
    expected = on(Canvas(noise(320, 180)), *calls)
    np.testing.assert_array_equal(on(Canvas(noise(320, 180)), *calls[::-1]), expected)


def test_boxes_are_those_of_detections():
    pixels, seen = noise(320, 180), found((10, 50, 90, 90, 0.9, 0), (60, 60, 400, 170, 0.8, 1))
    drawn = on(Canvas(pixels), ("box", (60, 60, 400, 170), "bicycle", 0.8), ("box", (10, 50, 90, 90), "person", 0.9))
    np.testing.assert_array_equal(drawn, draw(pixels, seen))


def test_a_box_with_a_text_and_a_colour_of_its_own():
    pixels, box = noise(320, 180), (100, 100, 150, 150)
    canvas = Canvas(pixels)
    canvas.box(box, "person", 0.9, text="Anna", colour=BLUE)
    np.testing.assert_array_equal(canvas.picture(), draw(pixels, found((*box, 0.9, 0)), labels=["Anna"], colours=BLUE))
    canvas = Canvas(pixels)
    canvas.box(box, "person")
    np.testing.assert_array_equal(canvas.picture(), draw(pixels, found((*box, 0.9, 0)), labels=["person"]))


def test_without_labels_texts_that_are_asked_for_stay():
    pixels, box = noise(320, 180), (100, 100, 150, 150)
    bare = on(Canvas(pixels, labels=False), ("box", box, "person", 0.9))
    np.testing.assert_array_equal(bare, draw(pixels, found((*box, 0.9, 0)), labels=False))
    assert Canvas(pixels, labels=False).picture() is pixels
    assert on(Canvas(pixels, labels=False), ("text", (10, 100), "3 in the zone")) is not pixels


def test_several_results_of_detections_draw_on_one_canvas():
    pixels, first, second = noise(320, 180), found((10, 60, 90, 90, 0.9, 0)), found((150, 60, 200, 90, 0.9, 1))
    both = found((150, 60, 200, 90, 0.9, 1), (10, 60, 90, 90, 0.9, 0))
    np.testing.assert_array_equal(on(Canvas(pixels), ("detections", first), ("detections", second)), draw(pixels, both))


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (3, 3, 4, 7), (3, 3, 7, 4), (79, 59, 80, 60), (0, 0, 80, 60), (20, 10, 24, 11)]
)
@pytest.mark.parametrize("layout", ["plain", "transposed", "sliced"])
def test_a_mask_is_blended_in_its_pixels_alone(box, layout):
    pixels = noise(80, 60)
    mask = np.zeros((60, 80), bool)
    mask[box[1] : box[3], box[0] : box[2]] = np.indices((box[3] - box[1], box[2] - box[0])).sum(0) % 2 == 0
    given = {
        "plain": mask,
        "transposed": np.asfortranarray(mask),
        "sliced": np.repeat(np.repeat(mask, 2, axis=0), 3, axis=1)[::2, ::3],
    }[layout]
    expected = tinted(pixels, mask, (10, 201, 255), 1)
    np.testing.assert_array_equal(on(Canvas(pixels), ("mask", given, (10, 201, 255))), expected)


def tinted(pixels, mask, colour, thickness):
    """What `Canvas.mask` should draw, pixel by pixel."""
    drawn = pixels.copy()
    framed = np.pad(mask, thickness)
    for y, x in zip(*np.nonzero(mask), strict=True):
        is_inside = framed[y : y + 2 * thickness + 1, x : x + 2 * thickness + 1].all()
        drawn[y, x] = np.rint(pixels[y, x] * 0.6) + np.rint(np.array(colour) * 0.4) if is_inside else colour
    return drawn


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_masks_from_crops_are_those_from_planes(thickness):
    pixels = noise(80, 60)
    y, x = np.mgrid[:60, :80]
    discs = ((30, 25, 300), (40, 30, 200), (79, 0, 90), (0, 0, 0))
    planes = np.stack([(x - a) ** 2 + (y - b) ** 2 < c for a, b, c in discs])
    colours = [(10, 201, 255), RED, BLUE, (255, 255, 255)]
    expected = pixels
    for plane, paint in reversed(list(zip(planes, colours, strict=True))):
        expected = tinted(expected, plane, paint, thickness)
    canvas = Canvas(pixels, line_width=thickness)
    canvas.masks(Masks.of(planes), colours)
    np.testing.assert_array_equal(canvas.picture(), expected)
    canvas = Canvas(pixels, line_width=thickness)
    for plane, paint in reversed(list(zip(planes, colours, strict=True))):
        canvas.mask(plane, paint)
    np.testing.assert_array_equal(canvas.picture(), expected)


def test_a_polygon_goes_through_its_corners_and_closes():
    corners = [(20, 20), (100, 20), (100, 150), (20, 150)]
    drawn = on(Canvas(black(), line_width=3), ("polygon", corners, RED))
    for x, y in [*corners, (60, 20), (100, 80), (60, 150), (20, 80)]:
        assert tuple(drawn[y, x]) == RED
    assert not drawn[30:140, 30:90].any()
    assert not drawn[:, 110:].any()


def test_a_line_has_its_width_and_two_ends():
    drawn = on(Canvas(black(), line_width=5), ("line", (50, 100), (150.4, 100), BLUE))
    assert (drawn[98:103, 55:145] == BLUE).all()
    assert not drawn[:96].any()
    assert not drawn[105:].any()
    assert not drawn[:, :45].any()
    assert not drawn[:, 156:].any()


@pytest.mark.parametrize("far", [5000, 900_000])
def test_lines_may_come_from_far_outside(far):
    drawn = on(Canvas(black(), line_width=3), ("line", (-far, 50), (far, 50), RED))
    assert (drawn[50] == RED).all()
    assert on(Canvas(black()), ("polygon", [(far, far), (2 * far // 3, far), (far, far // 2)], RED)).any() == 0


def test_a_text_is_whole_above_its_point_or_below_it_at_the_top():
    label = trimmed(on(Canvas(black()), ("text", (100, 100), "in: 3", BLUE)))
    height, width = label.shape[:2]
    for at, place in {
        (100, 100): (100, 100 - height),
        (100, 3): (100, 3),
        (310, 100): (320 - width, 100 - height),
        (-50, 500): (0, 180 - height),
        (1000, -7): (320 - width, 0),
    }.items():
        drawn = on(Canvas(black()), ("text", at, "in: 3", BLUE))
        assert place_of(label, drawn) == place, at
    assert tuple(label[0, 0]) == BLUE


def test_texts_make_way_for_the_info_line():
    info = ("gate", "frame 17")
    bottom = len(trimmed(on(Canvas(black() + 200), ("info", info)) != 200))
    label = trimmed(on(Canvas(black()), ("text", (100, 100), "in: 3", BLUE)))
    drawn = on(Canvas(black() + 200), ("text", (2, 2), "in: 3", BLUE), ("info", info))
    assert place_of(label, drawn) == (2, bottom)


def test_info_is_added_up():
    pixels = noise(320, 180)
    np.testing.assert_array_equal(
        on(Canvas(pixels), ("info", ("gate",)), ("info", ["2 detections"])),
        on(Canvas(pixels), ("info", ("gate", "2 detections"))),
    )


def test_lines_lie_under_labels_and_over_masks():
    mask = np.ones((180, 320), bool)
    drawn = on(Canvas(noise(320, 180)), ("box", (50, 60, 100, 100), "car", 0.9), ("mask", mask, BLUE))
    assert tuple(drawn[60, 60]) == colour("car")
    over = on(Canvas(black()), ("box", (50, 60, 200, 100), "car", 0.9), ("line", (0, 55), (319, 55), RED))
    label = trimmed(on(Canvas(black()), ("box", (50, 60, 100, 61), "car", 0.9)))[:-1]
    assert place_of(label, over) is not None


def test_what_is_drawn_on_is_never_changed():
    pixels = noise(320, 180)
    before = pixels.copy()
    mask = np.ones((180, 320), bool)
    on(Canvas(pixels), ("mask", mask), ("line", (0, 0), (9, 9)), ("text", (9, 9), "a"), ("info", ("b",)))
    np.testing.assert_array_equal(pixels, before)


def test_sizes_are_told_to_who_draws():
    canvas = Canvas(black(1920, 1080))
    assert (canvas.width, canvas.height, canvas.line_width) == (1920, 1080, 3)
    assert Canvas(black(), line_width=9).line_width == 9


WRONG = [
    (("box", (1, 2, 3), "car"), r"a box of shape \(3,\): expected \(4,\)"),
    (("mask", np.zeros((48, 63), bool)), r"a mask is bool \(48, 63\): expected bool \(48, 64\)"),
    (("mask", np.zeros((48, 64), np.uint8)), r"a mask is uint8 \(48, 64\): expected bool"),
    (("mask", np.ones((48, 64), bool), "red"), "'red' is not a colour"),
    (("polygon", [(1, 2), (3, 4)]), r"points \[\(1, 2\), \(3, 4\)\]: expected 3 or more pairs"),
    (("polygon", []), r"points \[\]: expected 3 or more pairs"),
    (("polygon", [1, 2, 3, 4, 5, 6]), "points .*: expected 3 or more pairs"),
    (("polygon", "zone"), "points 'zone': expected 3 or more pairs"),
    (("line", (0, 0), (np.nan, 1)), "points .*: expected 2 or more pairs"),
    (("line", (0, 0), (1e9, 1)), "points .*: expected 2 or more pairs"),
    (("line", (0, 0), (1, 2, 3)), "points .*: expected 2 or more pairs"),
    (("text", 5, "a"), "points .*: expected 1 or more pairs"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_cannot_be_drawn_is_told_in_a_line(call, message):
    canvas = Canvas(noise(64, 48))
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        on(canvas, call)
    assert isinstance(caught.value, WatchlineError)


def trimmed(picture):
    """The picture without the black rows and columns around what is drawn."""
    inked = picture.any(axis=2) if picture.ndim == 3 else picture
    x, y, width, height = cv2.boundingRect(inked.astype(np.uint8))
    return picture[y : y + height, x : x + width]


def written(width, text, end=""):
    canvas = Canvas(np.zeros((60, width, 3), np.uint8))
    canvas.text((0, 0), text, end=end)
    return canvas.picture()


def test_the_end_of_a_text_is_kept_where_the_picture_is_too_narrow():
    assert np.array_equal(written(640, "what is it?", " a lamp"), written(640, "what is it? a lamp"))
    for width, question in ((160, "what is on the table in front of the window?"), (640, "what is it, " * 50)):
        assert not np.array_equal(written(width, question, " lamp"), written(width, question, " cat"))
    assert np.array_equal(written(60, "what is on the table?", " a lamp"), written(60, "a lamp"))
    assert np.array_equal(written(60, "what?", " a lamp on a table"), written(60, "a lamp on a table"))
