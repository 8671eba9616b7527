"""What was found is drawn where it was found, on a copy, with every text inside the picture."""

import hashlib
import threading
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from drawings import LABELS, found, label_of, noise, outline, place_of, random_boxes

from watchline.errors import WatchlineError
from watchline.ops import tabs
from watchline.ops.canvas import Canvas
from watchline.ops.colours import colour, track_colour
from watchline.ops.detections import Detections
from watchline.ops.draw import draw
from watchline.ops.masks import Masks

SIZES = [(1, 1), (7, 9999), (9999, 7), (64, 48), (640, 272), (1280, 720), (720, 1280)]


@pytest.mark.parametrize("thickness", [1, 2, 3, 50])
@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 50, 40),
        (0, 0, 80, 60),  # the whole picture
        (-30, -30, 20, 20),  # cut by a corner: the line follows the edge
        (70, 50, 200, 90),
        (-5, -5, 200, 90),
        (20, 20, 21, 21),  # one pixel
        (20, 20, 22, 50),  # thinner than its lines
        (79, 59, 80, 60),  # the last pixel
    ],
)
def test_a_box_is_drawn_inside_its_edges(box, thickness):
    pixels = noise(80, 60)
    drawn = draw(pixels, found((*box, 0.9, 2)), line_width=thickness, labels=False)
    np.testing.assert_array_equal(drawn, outline(pixels, box, "car", thickness))


@pytest.mark.parametrize(
    "box",
    [
        (-20, 10, 0, 20),  # half-open: ends before the first pixel
        (80, 10, 90, 20),  # begins after the last
        (10, 60, 20, 70),
        (20, 20, 10, 40),  # inside out
        (10, 10, 10.3, 40),  # less than half a pixel
        (np.nan, 10, 30, 40),
        (-np.inf, np.inf, np.inf, np.inf),
    ],
)
def test_a_box_without_a_pixel_in_the_picture_is_not_drawn(box):
    pixels = noise(80, 60)
    assert draw(pixels, found((*box, 0.9, 0))) is pixels


def test_the_best_is_on_top():
    pixels = noise(80, 60)
    drawn = draw(pixels, found((10, 10, 50, 40, 0.9, 1), (10, 10, 50, 40, 0.3, 0)), labels=False)
    assert tuple(drawn[10, 10]) == colour("bicycle")


@pytest.mark.parametrize(
    ("size", "width"), [((64, 48), 1), ((640, 272), 2), ((1280, 720), 2), ((1920, 1080), 3), ((3840, 2160), 4)]
)
def test_lines_follow_the_size_of_the_picture(size, width):
    drawn = draw(np.zeros((size[1], size[0], 3), np.uint8), found((10, 10, 44, 44, 0.9, 0)), labels=False)
    assert np.flatnonzero(drawn[30, :30].any(axis=1)).tolist() == list(range(10, 10 + width))


# --- labels


@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 272), (120, 400)])
def test_a_label_is_always_whole_and_at_its_box(width, height):
    placed = 0
    for seed in range(60):
        detections = random_boxes(seed, 1, width, height)
        pixels = noise(width, height, seed)
        expected = draw(pixels, detections, labels=False)
        if expected is pixels:
            continue
        drawn = draw(pixels, detections, labels=[f"{detections.names[0]} {detections.confidence[0]:.2f}"])
        x1, y1, x2, y2 = np.rint(np.clip(detections.xyxy[0], 0, [width, height] * 2)).astype(int)
        label = label_of(detections, width, height)
        x, y = place_of(label, drawn)
        assert x in (min(x1, width - label.shape[1]), max(x2 - label.shape[1], 0))
        assert y in (y1 - len(label), y2, min(y1, height - len(label)))
        expected[y : y + len(label), x : x + label.shape[1]] = label
        np.testing.assert_array_equal(drawn, expected)  # lines and label, and not a pixel more
        placed += 1
    assert placed > 20


@pytest.mark.parametrize(
    ("box", "x", "y"),
    [
        ((100, 100, 150, 150), "left", "above"),
        ((100, 3, 150, 150), "left", "below"),
        ((100, 0, 150, 180), "left", "inside"),
        ((290, 100, 340, 150), "shifted", "above"),
        ((-40, -40, 40, 40), "left", "below"),
        ((275, 5, 330, 9), "shifted", "below"),
    ],
)
def test_a_label_at_an_edge(box, x, y):
    detections = found((*box, 0.91, 0))
    label = label_of(detections, 320, 180)
    height, width = label.shape[:2]
    left, top, bottom = max(box[0], 0), max(box[1], 0), box[3]
    place = place_of(label, draw(noise(320, 180), detections, labels=["person 0.91"]))
    assert place == (
        {"left": left, "shifted": 320 - width}[x],
        {"above": top - height, "inside": top, "below": bottom}[y],
    )


def texts_of(box, **more) -> list[str]:
    """Which of its texts a detection has."""
    row = Detections(np.array([box], np.float32), np.array([0.91], np.float32), np.zeros(1, np.int64), LABELS, **more)
    drawn = draw(np.zeros((180, 320, 3), np.uint8), row, colours=colour("person"))
    texts = ("person #7 0.91", "person #7", "#7", "person 0.91", "person")
    looks = {text: label_of(row, 320, 180, text) for text in texts}
    return [text for text, look in looks.items() if place_of(look, drawn) is not None][:1]


def test_a_label_much_wider_than_its_box_loses_its_score_then_its_name():
    assert texts_of((100, 60, 150, 150)) == ["person 0.91"]
    assert texts_of((100, 60, 130, 150)) == ["person"]
    assert texts_of((100, 60, 110, 150)) == []
    track = {"tracker_id": np.array([7])}
    assert texts_of((100, 60, 160, 150), **track) == ["person #7 0.91"]
    assert texts_of((100, 60, 140, 150), **track) == ["person #7"]
    assert texts_of((100, 60, 115, 150), **track) == ["#7"]
    assert texts_of((100, 60, 105, 150), **track) == []


def test_labels_say_class_and_score():
    """Same class and same two digits, same picture; another digit or class, another."""
    cases = ((0.91, 0), (0.9149, 0), (0.94, 0), (0.91, 1))
    looks = [label_of(found((0, 0, 1, 1, score, c)), 320, 180) for score, c in cases]
    assert np.array_equal(looks[0], looks[1])
    assert not np.array_equal(looks[0], looks[2])
    assert tuple(looks[0][0, 0]) == colour("person")
    assert tuple(looks[3][0, 0]) == colour("bicycle")


@pytest.mark.parametrize("height", [17, 20, 30])
def test_a_label_in_a_picture_hardly_higher_than_itself(height):
    detections = found((100, 12, 150, height, 0.91, 0))
    label = label_of(detections, 320, 60)
    drawn = draw(noise(320, height), detections)
    assert place_of(label, drawn) == (100, min(12, height - len(label)))


def test_a_label_too_long_for_the_picture_is_shortened():
    name = "a very long name of a class that no picture is wide enough for"
    detections = Detections(
        np.array([[5, 100, 60, 150]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), (name,)
    )
    black = np.zeros((180, 200, 3), np.uint8)
    columns = np.flatnonzero(draw(black, detections, labels=[name])[:100].any(axis=(0, 2)))
    assert 150 < len(columns) <= 200


@pytest.mark.parametrize("name", ["größe", "自転車", "🚲", "a\nb", "\x00", "\udc80", "", " ", "مرحبا", "e\u0301"])
def test_any_text_is_drawn_on_one_line(name):
    """A lone surrogate (as in a file name that is no UTF-8) would crash OpenCV."""
    box = np.array([[30, 100, 60, 150]], np.float32)
    detections = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), (name,))
    drawn = draw(np.zeros((180, 320, 3), np.uint8), detections, info=(name, "1 detection"))
    plain = draw(np.zeros((180, 320, 3), np.uint8), found((30, 100, 60, 150, 1, 0)), info=("1 detection",))
    rows = [np.flatnonzero(picture.any(axis=(1, 2))) for picture in (drawn, plain)]
    assert rows[0][-1] == rows[1][-1]
    assert np.array_equal(drawn[60:99].any(axis=(1, 2)), plain[60:99].any(axis=(1, 2)))


def test_label_pictures_are_kept_but_not_without_end():
    black = np.zeros((180, 320, 3), np.uint8)
    box = np.array([[30, 100, 160, 150]], np.float32)
    for i in range(600):
        draw(black, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), (f"class {i}",)))
    before = tabs.tab.cache_info()
    draw(black, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), ("class 599",)))
    after = tabs.tab.cache_info()
    assert before.currsize <= 512
    assert after.hits == before.hits + 1


# --- the rest of the picture


@pytest.mark.parametrize("seed", range(8))
def test_nothing_else_is_touched(seed):
    """Only pixels change that one of the boxes, or the info line, changes alone, on black or on white."""
    width, height, info = 320, 180, ("bikes", "frame 1")
    pixels, detections = noise(width, height, seed), random_boxes(seed, 5, width, height)
    before = pixels.copy()
    allowed = np.zeros((height, width), bool)
    for background in (np.zeros_like(pixels), np.full_like(pixels, 255)):
        for rows in (slice(0, 0), *(slice(i, i + 1) for i in range(len(detections)))):
            allowed |= (draw(background, detections[rows], info=info, labels=False) != background).any(axis=2)
    drawn = draw(pixels, detections, info=info, labels=False)
    np.testing.assert_array_equal(drawn[~allowed], pixels[~allowed])
    np.testing.assert_array_equal(pixels, before)
    assert (~allowed).mean() > 0.2  # the claim is about something


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_pictures_of_any_size(size):
    width, height = size
    pixels = noise(width, height)
    detections = found((0, 0, width, height, 0.91, 0), (-9, -9, width + 9, height + 9, 0.5, 1))
    drawn = draw(pixels, detections, info=("bikes", "frame 17", "00:00.680", "2 detections"))
    assert drawn.shape == pixels.shape
    assert tuple(drawn[-1, -1]) == colour("person")  # the best box's corner


def test_an_8k_frame():
    pixels = np.zeros((4320, 7680, 3), np.uint8)
    drawn = draw(pixels, found((1000, 1000, 3000, 3000, 0.91, 2)), info=("bikes", "frame 17"))
    label = np.flatnonzero(drawn[:1000, 1000:3000].any(axis=(1, 2)))
    assert len(label) > 80  # pixels high: to be read on a screen that shows the frame as a whole
    assert not pixels.any()


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 4), (10, 10, 1)])
def test_pixels_that_are_no_picture_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\), BGR"):
        draw(np.zeros(shape, np.uint8), Detections.none(LABELS))
    with pytest.raises(ValueError, match="float32"):
        draw(np.zeros((10, 10, 3), np.float32), Detections.none(LABELS))


def test_the_info_line_loses_its_first_parts_where_there_is_no_room():
    parts = ("bikes", "frame 17", "00:00.680", "2 detections")
    widths = []
    for width in range(20, 420, 10):
        drawn = draw(np.zeros((60, width, 3), np.uint8), Detections.none(LABELS), info=parts)
        alone = [draw(np.zeros((60, width, 3), np.uint8), Detections.none(LABELS), info=parts[k:]) for k in range(4)]
        widths.append(sum(np.array_equal(drawn, a) for a in alone) if drawn.any() else 0)
    # nothing fits, only the last part is drawn (whatever is asked for), … and in the end all of them
    assert widths[0] == 0
    assert widths[-1] == 1
    assert widths.index(4) < widths.index(3) < widths.index(2) < widths.index(1)


def test_no_label_hides_under_the_info_line():
    info = ("bikes", "frame 17", "00:00.680", "1 detection")
    black = np.zeros((180, 320, 3), np.uint8)
    bottom = int(np.flatnonzero(draw(black, Detections.none(LABELS), info=info).any(axis=(1, 2)))[-1])
    for y in (0, 5, bottom, bottom + 3, 30):
        detections = found((4, y, 90, 150, 0.91, 0))
        place = place_of(label_of(detections, 320, 180), draw(black, detections, info=info))
        assert place is not None
        assert place[1] > bottom


def test_many_threads_may_draw_at_once():
    pixels = noise(320, 180)
    cases = [random_boxes(seed, 6, 320, 180) for seed in range(30)]
    expected = [draw(pixels, case) for case in cases]
    tabs.tab.cache_clear()
    results: list[list[np.ndarray]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda r=r: r.extend(draw(pixels, case) for case in cases)) for r in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))


# --- what may not change unseen


def pinned(**settings) -> str:
    """The SHA-256 of twelve pictures of many boxes, whose pixels and places are arithmetic."""
    total = hashlib.sha256()
    for width, height in ((64, 48), (320, 180), (640, 272), (1280, 720)):
        y, x, channel = np.ogrid[:height, :width, :3]
        pixels = ((7 * x + 13 * y + 31 * channel) % 256).astype(np.uint8)
        for seed in range(3):
            places = np.array([((37 * i + 11 * seed) % 120 - 10, (53 * i + 29 * seed) % 120 - 10) for i in range(9)])
            start = places / 100 * [width, height]
            end = start + np.array([(i % 4 + 1, 5 - i % 4) for i in range(9)]) / 12 * [width, height]
            rows = [(*a, *b, 0.95 - 0.07 * i, i % 3) for i, (a, b) in enumerate(zip(start, end, strict=True))]
            total.update(draw(pixels, found(*rows), **settings).tobytes())
    return total.hexdigest()[:16]


TEXTS = {"4": "3fcc977b76efc43f", "5": "70c873402768e202"}  # by OpenCV's major version, whose letters differ


def test_lines_are_these_bytes():
    assert pinned(labels=False) == "201b62ec82c6df9a"
    assert pinned(labels=False, line_width=7) == "811b194e40bfd88e"


def test_texts_are_these_bytes():
    expected = TEXTS.get(cv2.__version__.partition(".")[0])
    assert pinned(info=("bikes", "frame 17", "00:00.680", "9 detections")) == expected


# --- labels and colours of one's own


def test_one_colour_for_all_or_by_class():
    pixels, seen = noise(80, 60), found((2, 2, 20, 20, 0.9, 0), (30, 2, 50, 20, 0.8, 1), (2, 30, 20, 50, 0.7, 2))
    corners = (2, 2), (2, 30), (30, 2)

    def shown(colours):
        return [tuple(draw(pixels, seen, labels=False, colours=colours)[corner].tolist()) for corner in corners]

    person, bicycle, car = map(colour, LABELS)
    assert shown(None) == shown({}) == [person, bicycle, car]
    assert shown((1, 2, 3)) == shown(np.array([1, 2, 3], np.uint8)) == [(1, 2, 3)] * 3
    assert shown({"car": (1, 2, 3), "dog": (4, 5, 6)}) == [person, bicycle, (1, 2, 3)]


def test_a_label_has_the_colour_of_its_box():
    drawn = draw(np.zeros((180, 320, 3), np.uint8), found((100, 100, 150, 150, 0.91, 0)), colours=(200, 100, 0))
    values = np.unique(drawn.reshape(-1, 3), axis=0).tolist()
    assert [200, 100, 0] in values
    assert list(colour("person")) not in values


def test_labels_of_ones_own():
    pixels, seen = noise(320, 180), found((100, 100, 150, 150, 0.91, 0), (200, 100, 250, 150, 0.5, 1))
    assert np.array_equal(draw(pixels, seen, labels=["person 0.91", "bicycle 0.50"]), draw(pixels, seen))
    assert np.array_equal(draw(pixels, seen, labels=["", ""]), draw(pixels, seen, labels=False))
    assert np.array_equal(draw(pixels, seen, labels=[1, 2]), draw(pixels, seen, labels=iter("12")))
    named = draw(pixels, seen, labels=np.array(["Anna", "her bicycle"]))
    assert not np.array_equal(named, draw(pixels, seen))


def test_a_text_stays_with_its_detection_where_others_are_outside():
    pixels = noise(320, 180)
    seen = found((900, 900, 950, 950, 0.95, 2), (100, 100, 150, 150, 0.91, 0))
    assert np.array_equal(draw(pixels, seen, labels=["gone", "Anna"]), draw(pixels, seen[1], labels=["Anna"]))


def test_tracks_are_told_apart():
    pixels, seen = noise(320, 180), found((100, 100, 150, 150, 0.91, 0))
    tracked = replace(seen, tracker_id=[7])
    own = {"labels": ["person #7 0.91"], "colours": track_colour(7)}
    assert np.array_equal(draw(pixels, tracked), draw(pixels, seen, **own))
    assert np.array_equal(draw(pixels, replace(seen, tracker_id=[-1])), draw(pixels, seen))


def test_colours_that_are_named_are_stronger_than_those_of_tracks():
    pixels, seen = noise(320, 180), found((100, 100, 150, 150, 0.91, 0))
    own = {"labels": ["a"], "colours": {"person": (0, 0, 255)}}
    assert np.array_equal(draw(pixels, replace(seen, tracker_id=[7]), **own), draw(pixels, seen, **own))


def test_tracks_whose_numbers_follow_one_another_have_different_colours():
    colours = [track_colour(number) for number in range(1, 40)]
    assert all(a != b for a, b in pairwise(colours))


def test_masks_are_tinted_under_the_lines():
    pixels, seen = noise(80, 60), found((10, 10, 50, 40, 0.9, 1), (20, 20, 70, 50, 0.8, 0))
    y, x = np.mgrid[:60, :80]
    masks = np.stack([(x - 30) ** 2 + (y - 25) ** 2 < 150, np.zeros((60, 80), bool)])
    drawn = draw(pixels, replace(seen, masks=Masks.of(masks)), labels=False)
    canvas = Canvas(pixels)
    canvas.mask(masks[0], colour("bicycle"))
    expected = canvas.picture()
    assert (expected != pixels).any(axis=-1)[masks[0]].all()
    np.testing.assert_array_equal(drawn, draw(expected, seen, labels=False))


WRONG = [
    (("a.jpg", found()), {}, TypeError, "cannot draw on a str: expected an array, uint8"),
    ((None, found()), {}, TypeError, "cannot draw on a NoneType: expected an array, uint8"),
    ((noise(8, 8), [1]), {}, TypeError, "detections are of type list: expected Detections"),
    ((noise(8, 8), found()), {"labels": "person"}, TypeError, "labels is 'person': expected True, False, or a text"),
    ((noise(8, 8), found()), {"labels": None}, TypeError, "labels is None: expected True, False, or a text"),
    ((noise(8, 8), found()), {"labels": ["a"]}, ValueError, "1 labels for 0 detections: expected as many"),
    ((noise(8, 8), found()), {"colours": "red"}, ValueError, r"'red' is not a colour: expected \(blue, green, red\)"),
    ((noise(8, 8), found()), {"colours": (1, 2)}, ValueError, r"\(1, 2\) is not a colour"),
    ((noise(8, 8), found()), {"colours": (0, 0, 256)}, ValueError, r"\(0, 0, 256\) is not a colour"),
    ((noise(8, 8), found()), {"colours": (0, 0, 0.5)}, ValueError, r"\(0, 0, 0.5\) is not a colour"),
    ((noise(8, 8), found()), {"colours": {"a": "#f00"}}, ValueError, "'#f00' is not a colour"),
    ((noise(8, 8), found()), {"line_width": 0}, ValueError, "line_width 0: expected at least 1 pixel"),
    (
        (noise(8, 8), replace(found((0, 0, 4, 4, 1, 0)), masks=Masks.of(np.ones((1, 4, 4), bool)))),
        {},
        ValueError,
        "masks are of a picture",
    ),
]


@pytest.mark.parametrize(("given", "settings", "builtin", "message"), WRONG, ids=[row[3][:20] for row in WRONG])
def test_what_cannot_be_drawn_is_told_in_a_line(given, settings, builtin, message):
    with pytest.raises(WatchlineError, match=f"^{message}") as caught:
        draw(*given, **settings)
    assert isinstance(caught.value, builtin)
    assert "\n" not in str(caught.value)
