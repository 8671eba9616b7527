"""The class of every pixel: shares, JSON that pycocotools reads, and what is drawn of it."""

import numpy as np
import pytest
from pycocotools import mask as coco

from watchline.ops.canvas import OPACITY, Canvas
from watchline.ops.class_map import VOID, ClassMap
from watchline.ops.colours import colour
from watchline.ops.errors import DetectionsError

LABELS = ("road", "car", "sky")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def some(height=30, width=40):
    """Sky above, road below, a car on it, and a part without a class."""
    classes = np.zeros((height, width), np.uint8)
    classes[: height // 2] = 2
    classes[20:25, 10:20] = 1
    classes[:5, :5] = VOID
    return ClassMap(classes, LABELS)


def test_shares_are_of_the_whole_picture():
    np.testing.assert_allclose(some().shares, [550 / 1200, 50 / 1200, 575 / 1200])


def test_the_lines_of_events_have_run_lengths_that_cocos_tools_read():
    found = some()
    said = found.to_dict()
    assert said["size"] == [30, 40]
    assert [(one["label"], one["class"], one["share"]) for one in said["classes"]] == [
        ("sky", 2, 0.4792),
        ("road", 0, 0.4583),
        ("car", 1, 0.0417),
    ]
    for one in said["classes"]:
        mask = coco.decode({"size": said["size"], "counts": one["counts"]})
        np.testing.assert_array_equal(mask.astype(bool), found.classes == one["class"])


def test_the_pixels_may_be_left_out_of_the_lines():
    said = ClassMap(some().classes, LABELS, is_written=False).to_dict()
    assert said["classes"][0] == {"label": "sky", "class": 2, "share": 0.4792}
    assert len(said["classes"]) == 3


def test_a_picture_without_any_class():
    assert ClassMap(np.full((3, 4), VOID, np.uint8), LABELS).to_dict() == {"size": [3, 4], "classes": []}


def test_it_grows_by_nearest_pixels():
    small = ClassMap(np.array([[0, 1], [2, VOID]], np.uint8), LABELS)
    np.testing.assert_array_equal(small.scaled(4, 4), np.kron(small.classes, np.ones((2, 2), np.uint8)))
    np.testing.assert_array_equal(small.mask("car"), [[False, True], [False, False]])


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        (np.zeros((3, 4)), "classes is float64"),
        (np.zeros((3, 4, 3), np.uint8), r"classes is uint8 \(3, 4, 3\)"),
        (np.zeros((0, 4), np.uint8), r"expected uint8 \(height, width\)"),
        (np.full((3, 4), 3, np.uint8), "classes has 3: expected less than 3"),
    ],
)
def test_what_is_no_class_map(classes, why):
    with pytest.raises(DetectionsError, match=why):
        ClassMap(classes, LABELS)


@pytest.mark.parametrize("labels", [(5,), (None,), tuple(map(str, range(256)))])
def test_labels_that_cannot_be(labels):
    with pytest.raises(DetectionsError, match="expected at most 255 names"):
        ClassMap(np.zeros((3, 4), np.uint8), labels)


def test_it_is_a_see_through_layer_below_everything_with_a_legend():
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    plain = Canvas(pixels)
    plain.class_map(some())
    drawn = plain.picture()
    classes = some().scaled(160, 120)
    np.testing.assert_array_equal(drawn[classes == VOID], pixels[classes == VOID])
    car = classes == 1
    car[:, :72] = False  # the legend is there
    expected = pixels[car] * (1 - OPACITY) + np.array(colour("car")) * OPACITY
    assert np.abs(drawn[car].astype(float) - expected).max() <= 1
    legend = drawn[60:, :60].reshape(-1, 3).tolist()
    assert list(colour("road")) in legend  # the bar behind its name
    assert list(colour("sky")) in legend
    box = Canvas(pixels)
    box.box((10, 10, 60, 60), "person", text="")
    box.class_map(some())
    assert (box.picture()[10, 10:60] == colour("person")).all()


def test_a_legend_names_what_covers_a_hundredth():
    classes = np.zeros((100, 100), np.uint8)
    classes[0, :99] = 1
    classes[1:3] = 2
    canvas = Canvas(np.zeros((300, 300, 3), np.uint8))
    canvas.class_map(ClassMap(classes, LABELS))
    picture = canvas.picture()
    tabs = {tuple(pixel) for pixel in picture[150:, :3].reshape(-1, 3).tolist()}
    assert colour("sky") in tabs
    assert colour("car") not in tabs


def test_a_caption_is_at_the_lower_edge_and_a_long_one_is_broken():
    pixels = np.full((240, 320, 3), 200, np.uint8)

    def rows(text):
        canvas = Canvas(pixels)
        canvas.caption(text)
        return np.flatnonzero((canvas.picture() != pixels).any(axis=(1, 2)))

    short, long = rows("a dog runs"), rows("a dog runs through the snow " * 4)
    assert 200 < short[0] < short[-1] < 240
    assert 2 * len(short) - 2 <= len(long) <= 3 * len(short) + 2
    assert len(rows("word " * 200)) <= 3 * len(short) + 2
    assert len(rows("")) == 0
