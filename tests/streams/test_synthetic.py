import pickle

import numpy as np
import pytest

from watchline.streams.synthetic import COLOURS, SyntheticSource


def read(source):
    with source.open() as reader:
        return list(reader), reader.about


def test_the_same_settings_give_the_same_pixels():
    source = SyntheticSource(width=96, height=64, frames=5)
    again = pickle.loads(pickle.dumps(source))
    one, about = read(source)
    two, _ = read(again)
    assert len(one) == about.frames == 5
    assert [f.seconds for f in one] == [i / 25 for i in range(5)]
    assert all((a.picture.bgr() == b.picture.bgr()).all() for a, b in zip(one, two, strict=True))


def test_boxes_are_where_they_are_said_to_be():
    source = SyntheticSource(width=120, height=80, frames=200, boxes=1)
    before = None
    for frame in read(source)[0]:
        boxes = source.boxes_at(frame.index)
        assert boxes.dtype == np.float32
        assert boxes.shape == (1, 4)
        seen = np.argwhere((frame.picture.bgr() == COLOURS[0]).all(-1))
        (top, left), (bottom, right) = seen.min(0), seen.max(0) + 1
        assert boxes[0].tolist() == [left, top, right, bottom]
        assert before is None or 0 < abs(boxes - before).max() <= 2
        before = boxes


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 999)])
def test_boxes_stay_inside_any_picture(size):
    source = SyntheticSource(width=size[0], height=size[1], frames=30, boxes=4)
    for index in range(30):
        boxes = source.boxes_at(index)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= size).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert source.pixels_at(index).shape == (size[1], size[0], 3)


def test_no_boxes():
    assert SyntheticSource(boxes=0).boxes_at(3).shape == (0, 4)
