"""A frame: its picture as an array, its time."""

from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip

from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame


def test_image_is_the_whole_picture_read_only():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    frame = Frame("a", 3, 7, Fraction(1, 2), ArrayPicture(pixels))
    assert frame.image is pixels
    assert (frame.width, frame.height, frame.seconds) == (3, 2, 3.5)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0] = 0
    frame.image.copy()[0] = 0


def test_image_of_a_decoded_frame_is_bgr(tmp_path):
    red = np.full((48, 64, 3), (0, 0, 250), np.uint8)
    with FileSource(write_clip(tmp_path / "red.mp4", 1, draw=lambda _: red)).open() as reader:
        [frame] = reader
    assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
    mine = frame.picture.drawable()  # before anybody has asked for the picture, and after
    assert np.abs(frame.image.astype(int) - red).max() < 12
    assert not frame.image.flags.writeable
    for own in (mine, frame.picture.drawable()):
        np.testing.assert_array_equal(own, frame.image)
        own[:] = 0
        assert frame.image.any()
