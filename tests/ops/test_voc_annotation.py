"""VOC's XML: boxes from pixels counted from 1. What is refused, `tests/measure/test_voc.py` has in full."""

import numpy as np
import pytest
import voc_set

from watchline.errors import WatchlineError
from watchline.ops.voc_annotation import parse

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def test_boxes_are_half_open_and_begin_at_zero() -> None:
    found = parse(
        f"<annotation>{BOX.format('dog', 1, 2, 60, 40)}{voc_set.thing('cat', 0, 0, '1')}</annotation>".encode()
    )
    assert found.boxes.tolist() == [[0, 1, 60, 40], [0, 0, 8, 8]]
    assert found.boxes.dtype == np.float32
    assert found.names == ("dog", "cat")
    assert found.difficult.tolist() == [False, True]


def test_a_picture_without_objects() -> None:
    found = parse(b"<annotation/>", (9, 9))
    assert (found.boxes.shape, found.names, found.difficult.shape) == ((0, 4), (), (0,))


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (
            BOX.format("dog", 1, 2, 60, 40),
            r"^has the box xmin 1, ymin 2, xmax 60, ymax 40: expected .* inside 1\.\.50 x",
        ),
        (
            "<size><width>51</width><height>50</height></size>",
            "^is about a picture of 51 x 50 pixels, the photo has 50",
        ),
    ],
)
def test_only_with_a_photo_it_must_be_of_that_photo(xml: str, says: str) -> None:
    annotation = f"<annotation>{xml}</annotation>".encode()
    parse(annotation)
    with pytest.raises(ValueError, match=says) as caught:
        parse(annotation, (50, 50))
    assert isinstance(caught.value, WatchlineError)
