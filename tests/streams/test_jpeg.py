import cv2
import numpy as np
import pytest
from clips import picture

from watchline.streams import jpeg


@pytest.mark.parametrize("size", [(64, 48), (33, 21), (1, 1)])
def test_a_picture_comes_back_nearly_as_it_was(size):
    pixels = picture(3, *size)
    data = jpeg.encode(pixels, 95)
    assert jpeg.size_of(data) == size
    assert abs(jpeg.decode(data, *size).astype(int) - pixels).mean() < 4


def test_a_lower_quality_is_smaller():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(jpeg.encode(pixels, 20)) < len(jpeg.encode(pixels, 90))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d[:0], "not a JPEG of 64 x 48"),
        (lambda d: d[:100], "not a JPEG of 64 x 48"),
        (lambda d: d[::-1], "not a JPEG of 64 x 48"),
        (lambda d: np.frombuffer(b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x30\x00\x40", np.uint8), "cannot be decoded"),
        (lambda d: np.frombuffer(b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff" + bytes(99), np.uint8), "not a JPEG"),
        (lambda d: np.asarray(cv2.imencode(".png", picture(0))[1]), "not a JPEG"),
    ],
)
def test_what_is_no_such_jpeg_is_refused(change, why):
    data = jpeg.encode(picture(0), 90)
    with pytest.raises(ValueError, match=why):
        jpeg.decode(change(data), 64, 48)


def test_it_reads_the_size_behind_any_segments():
    data = bytes(jpeg.encode(picture(0), 90))
    comment = data[:2] + b"\xff\xfe\x00\x06abcd" + data[2:]
    assert jpeg.size_of(np.frombuffer(comment, np.uint8)) == (64, 48)
