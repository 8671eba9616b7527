"""The annotator draws what was found where it was found, on a copy, with every text inside the picture."""

import pickle
import threading
from fractions import Fraction

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from watchline.ops.colours import colour
from watchline.ops.detections import Detections
from watchline.pipeline.message import Item
from watchline.pipeline.stages import annotator
from watchline.pipeline.stages.annotator import Annotator, describe, draw
from watchline.streams.frame import ArrayPicture, Frame

LABELS = ("person", "bicycle", "car")
SIZES = [(1, 1), (7, 9999), (9999, 7), (64, 48), (640, 272), (1280, 720), (720, 1280)]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture without two equal neighbours, read-only as a frame's is."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels.flags.writeable = False
    return pixels


def found(*rows) -> Detections:
    """Rows of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(int), LABELS)


def random_boxes(seed: int, n: int, width: int, height: int) -> Detections:
    """Boxes in, partly in and outside of a picture, some thinner than a pixel."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-0.5, 1.2, (n, 2)) * [width, height]
    boxes = np.concatenate([start, start + rng.exponential(0.3, (n, 2)) * [width, height]], axis=1)
    scores = np.sort(rng.uniform(0.2, 1, n))[::-1]
    return found(*[(*b, s, c) for b, s, c in zip(boxes, scores, rng.integers(0, 3, n), strict=True)])


def frame(pixels: np.ndarray, index: int = 17, pts: int = 17, **fields) -> Frame:
    return Frame("bikes", index, pts, Fraction(1, 25), ArrayPicture(pixels), 0.0, **fields)


def label_of(detections: Detections, width: int, height: int) -> np.ndarray:
    """How the label of the only detection looks: drawn above a box in the middle of a black picture."""
    middle = found((width // 4, height // 2, width // 2, height - 1, detections.scores[0], detections.classes[0]))
    drawn = draw(np.zeros((height, width, 3), np.uint8), middle)[: height // 2]
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in ((1, 2), (0, 2)))
    return drawn[rows[0] :, columns[0] : columns[-1] + 1]


def place_of(label: np.ndarray, picture: np.ndarray) -> tuple[int, int] | None:
    """Where the whole label stands, pixel for pixel: (x, y)."""
    difference = cv2.matchTemplate(picture.astype(np.float32), label.astype(np.float32), cv2.TM_SQDIFF)
    x, y = cv2.minMaxLoc(difference)[2]
    same = np.array_equal(picture[y : y + len(label), x : x + label.shape[1]], label)
    return (x, y) if same else None


# --- outlines


def outline(pixels: np.ndarray, box: tuple[int, int, int, int], name: str, thickness: int) -> np.ndarray:
    """Pixel by pixel: those of the box that are less than `thickness` from outside of it."""
    expected, (x1, y1, x2, y2) = pixels.copy(), box
    for y in range(max(y1, 0), min(y2, len(pixels))):
        for x in range(max(x1, 0), min(x2, pixels.shape[1])):
            inside = min(x - max(x1, 0), min(x2, pixels.shape[1]) - 1 - x, y - max(y1, 0), min(y2, len(pixels)) - 1 - y)
            if inside < thickness:
                expected[y, x] = colour(name)
    return expected


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
def test_a_label_is_always_whole_and_in_its_place(width, height):
    for seed in range(60):
        detections = random_boxes(seed, 1, width, height)
        pixels = noise(width, height, seed)
        drawn = draw(pixels, detections)
        if drawn is pixels:
            continue
        label = label_of(detections, width, height)
        place = place_of(label, drawn)
        assert place is not None, detections.boxes
        x1, y1 = np.rint(np.clip(detections.boxes[0, :2], 0, [width, height])).astype(int)
        assert place[0] == min(x1, width - label.shape[1])
        above = y1 - len(label)
        assert place[1] == (above if above >= 0 else min(y1, height - len(label)))
        expected = draw(pixels, detections, labels=False)
        expected[place[1] : place[1] + len(label), place[0] : place[0] + label.shape[1]] = label
        np.testing.assert_array_equal(drawn, expected)  # lines and label, and not a pixel more


@pytest.mark.parametrize(
    ("box", "x", "y"),
    [
        ((100, 100, 150, 150), "left", "above"),
        ((100, 3, 150, 150), "left", "inside"),
        ((100, 0, 150, 180), "left", "inside"),
        ((300, 100, 340, 150), "shifted", "above"),
        ((-40, -40, 40, 40), "left", "inside"),
        ((315, 5, 330, 9), "shifted", "inside"),
    ],
)
def test_a_label_at_an_edge(box, x, y):
    detections = found((*box, 0.91, 0))
    label = label_of(detections, 320, 180)
    height, width = label.shape[:2]
    left, top = max(box[0], 0), max(box[1], 0)
    place = place_of(label, draw(noise(320, 180), detections))
    assert place == ({"left": left, "shifted": 320 - width}[x], {"above": top - height, "inside": top}[y])


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
    columns = np.flatnonzero(draw(black, detections)[:100].any(axis=(0, 2)))
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
    box = np.array([[30, 100, 60, 150]], np.float32)
    for i in range(600):
        draw(black, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), (f"class {i}",)))
    before = annotator._tab.cache_info()
    draw(black, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), ("class 599",)))
    after = annotator._tab.cache_info()
    assert before.currsize <= 512
    assert after.hits == before.hits + 1


# --- the rest of the picture


@pytest.mark.parametrize("seed", range(8))
def test_nothing_else_is_touched(seed):
    """Only pixels change that one of the detections, or the info line, changes alone, on black or on white."""
    width, height, info = 320, 180, ("bikes", "frame 1")
    pixels, detections = noise(width, height, seed), random_boxes(seed, 5, width, height)
    before = pixels.copy()
    allowed = np.zeros((height, width), bool)
    for background in (np.zeros_like(pixels), np.full_like(pixels, 255)):
        for rows in (slice(0, 0), *(slice(i, i + 1) for i in range(len(detections)))):
            allowed |= (draw(background, detections[rows], info=info) != background).any(axis=2)
    drawn = draw(pixels, detections, info=info)
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


# --- the info line


@pytest.mark.parametrize(
    ("index", "pts", "parts"),
    [
        (17, 17, ("bikes", "frame 17", "00:00.680", "2 detections")),
        (0, 0, ("bikes", "frame 0", "00:00.000", "2 detections")),
        (5, -1, ("bikes", "frame 5", "-00:00.040", "2 detections")),
        (90000, 90000, ("bikes", "frame 90000", "60:00.000", "2 detections")),  # hours are minutes
        (9, 151, ("bikes", "frame 9", "00:06.040", "2 detections")),
    ],
)
def test_the_info_line(index, pts, parts):
    two = found((0, 0, 1, 1, 0.9, 0), (0, 0, 1, 1, 0.9, 0))
    assert describe(frame(noise(8, 8), index, pts), two) == parts


def test_the_info_line_of_photos_long_names_and_frames_nobody_looked_at():
    one = found((0, 0, 1, 1, 0.9, 0))
    assert describe(frame(noise(8, 8), file="bus.jpg"), one) == ("bus.jpg", "1 detection")
    assert describe(frame(noise(8, 8)), None) == ("bikes", "frame 17", "00:00.680")
    assert describe(frame(noise(8, 8)), Detections.none(LABELS))[-1] == "0 detections"
    [name, _] = describe(frame(noise(8, 8), file="x" * 33), one)
    assert name == "x" * 29 + "..."


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


# --- the stage


def test_the_stage_sets_drawn_and_leaves_the_frame_alone():
    pixels = noise(640, 272)
    before = pixels.copy()
    detections = found((30, 60, 200, 250, 0.91, 0))
    with Annotator().open() as process:
        items = process([Item(1, frame(pixels), detections), Item(2, frame(noise(7, 9999)), detections)])
    expected = draw(pixels, detections, info=("bikes", "frame 17", "00:00.680", "1 detection"))
    np.testing.assert_array_equal(items[0].drawn, expected)
    np.testing.assert_array_equal(items[0].frame.picture.bgr(), before)
    assert items[1].drawn.shape == (9999, 7, 3)
    assert [item.sequence for item in items] == [1, 2]
    assert items[0].detections is detections


def test_settings_switch_parts_off():
    pixels, detections = noise(640, 272), found((30, 60, 200, 250, 0.91, 0))
    item = Item(1, frame(pixels), detections)
    with Annotator(line_width=5, labels=False, info=False).open() as process:
        [drawn] = process([item])
    np.testing.assert_array_equal(drawn.drawn, outline(pixels, (30, 60, 200, 250), "person", 5))


@pytest.mark.parametrize("detections", [None, Detections.none(LABELS)])
def test_a_frame_with_nothing_to_draw_is_not_copied(detections):
    pixels = noise(64, 48)
    with Annotator(info=False).open() as process:
        [item] = process([Item(1, frame(pixels), detections)])
    assert np.shares_memory(item.drawn, pixels)


def test_the_settings_are_checked_and_travel():
    stage = Annotator(line_width=4)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert (stage.name, stage.workers) == ("annotator", 1)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Annotator(line_width=0)
    with pytest.raises(ValueError, match="line_width 0: expected at least 1 pixel"):
        draw(noise(8, 8), Detections.none(LABELS), line_width=0)


def test_many_threads_may_draw_at_once():
    pixels = noise(320, 180)
    cases = [random_boxes(seed, 6, 320, 180) for seed in range(30)]
    expected = [draw(pixels, case) for case in cases]
    annotator._tab.cache_clear()
    results: list[list[np.ndarray]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda r=r: r.extend(draw(pixels, case) for case in cases)) for r in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))
