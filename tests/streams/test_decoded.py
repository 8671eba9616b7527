import threading

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from clips import picture, write_clip

from watchline.streams.decoded import DecodedPicture
from watchline.streams.file import FileSource

KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
# swscale rounds its tables down: a level or two darker than the equations, in every player built on it.
TABLES = 3


def flat(y, u, v, size=(64, 48), form="yuv420p", matrix=2, span=0):
    frame = av.VideoFrame(*size, form)
    for plane, value in zip(frame.planes, (y, u, v), strict=False):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = matrix, span
    return frame


def by_the_book(y, u, v, matrix, full):
    kr, kb = KR_KB[matrix]
    luma = y / 255 if full else (y - 16) / 219
    cb, cr = ((c - 128) / (255 if full else 224) for c in (u, v))
    r, b = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.clip(255 * np.array([b, (luma - kr * r - kb * b) / (1 - kr - kb), r]), 0, 255)


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize(
    ("form", "span"), [("yuv420p", 0), ("yuv420p", 1), ("yuv420p", 2), ("yuvj420p", 2), ("yuv444p", 1)]
)
def test_matrix_and_range_are_the_streams(matrix, form, span):
    for y, u, v in ((40, 120, 130), (120, 100, 150), (200, 140, 110), (235, 128, 128)):
        shown = DecodedPicture(flat(y, u, v, form=form, matrix=matrix, span=span))
        expected = by_the_book(y, u, v, matrix, full=span == 2)
        assert abs(shown.bgr()[20, 20] - expected).max() <= TABLES
        assert abs(shown.scaled(16, 12)[6, 6] - expected).max() <= 1


@pytest.mark.parametrize(
    ("size", "matrix"),
    [((640, 480), 6), ((720, 576), 6), ((1280, 720), 1), ((1920, 1080), 1), ((608, 1080), 1)],
)
def test_an_untagged_picture_has_the_matrix_of_its_size(size, matrix):
    shown = DecodedPicture(flat(120, 90, 160, size))
    expected = by_the_book(120, 90, 160, matrix, full=False)
    assert abs(shown.bgr()[5, 5] - expected).max() <= TABLES
    assert abs(shown.scaled(32, 32)[5, 5] - expected).max() <= 1


@pytest.mark.parametrize("reserved", [3, 8, 12, 14])
def test_a_matrix_that_nobody_knows_is_shown_all_the_same(reserved):
    frame = flat(120, 128, 128, matrix=reserved)
    frame.color_trc, frame.color_primaries = 3, 3
    assert abs(DecodedPicture(frame).bgr()[5, 5].astype(int) - 121).max() <= TABLES


@pytest.mark.parametrize(
    ("codec", "form", "name", "grey"),
    [
        ("ffv1", "gray", "a.mkv", True),
        ("ffv1", "gray16le", "a.mkv", True),
        ("libx264", "gray", "a.mp4", True),
        ("libx264", "yuv420p10le", "a.mp4", False),
        ("ffv1", "yuv444p16le", "a.mkv", False),
        ("ffv1", "yuva420p", "a.mkv", False),
        ("ffv1", "bgra", "a.mkv", False),
        ("png", "rgba", "a.mov", False),
        ("libx264", "yuv444p", "a.mp4", False),
        ("ffv1", "yuv410p", "a.mkv", False),
        ("mjpeg", "yuvj420p", "a.avi", False),
        ("rawvideo", "nv12", "a.nut", False),
        ("rawvideo", "yuyv422", "a.avi", False),
    ],
)
def test_every_pixel_format_becomes_bgr(tmp_path, codec, form, name, grey):
    full = 2 if codec == "libx264" and grey else None  # an H.264 decoder takes untagged grey for limited range
    clip = write_clip(tmp_path / name, 1, codec=codec, pix_fmt=form, color_range=full)
    with FileSource(clip).open() as reader:
        [frame] = reader
    expected = picture(0)
    if grey:
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    for got, want in (
        (frame.picture.bgr(), expected),
        (frame.picture.scaled(32, 24), cv2.resize(expected, (32, 24))),
    ):
        assert got.dtype == np.uint8
        assert abs(got.astype(int) - want).mean() < 4


TURNED = {  # degrees counter-clockwise
    0: lambda p: p,
    90: lambda p: np.rot90(p, 1),
    180: lambda p: np.rot90(p, 2),
    270: lambda p: np.rot90(p, 3),
}
ONE = 1 << 16
MATRICES = {  # x' = a x + c y; y' = b x + d y, as (a, b, c, d)
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "turned by 180": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
}


@pytest.mark.parametrize("way", MATRICES)
def test_the_display_matrix_is_applied(tmp_path, way):
    (a, b, c, d), turn = MATRICES[way]
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    clip = write_clip(tmp_path / "a.mp4", 2, matrix=matrix, pix_fmt="yuv444p")
    with FileSource(clip).open() as reader:
        about, frames = reader.about, list(reader)
    expected = turn(picture(0)).astype(int)
    shown = frames[0].picture
    assert (about.width, about.height) == (shown.width, shown.height) == expected.shape[1::-1]
    assert abs(shown.bgr() - expected).mean() < 4
    small = shown.scaled(expected.shape[1] // 2, expected.shape[0] // 2)
    assert abs(small - cv2.resize(expected.astype(np.uint8), small.shape[1::-1]).astype(int)).mean() < 4


@pytest.mark.parametrize("degrees", TURNED)
def test_rotation_is_counter_clockwise_as_the_muxer_says(tmp_path, degrees):
    clip = write_clip(tmp_path / "a.mp4", 1, rotation=degrees)
    with FileSource(clip).open() as reader:
        [frame] = reader
    assert abs(frame.picture.bgr() - TURNED[degrees](picture(0)).astype(int)).mean() < 4


@pytest.mark.parametrize("size", [(64, 48), (641, 273), (33, 21), (16, 9), (7, 99), (2, 3), (1, 1)])
@pytest.mark.parametrize("target", [(40, 30), (97, 61), (1, 1)])
def test_scaled_agrees_with_the_whole_picture_resized(tmp_path, size, target):
    clip = write_clip(tmp_path / "a.mkv", 1, size, codec="ffv1", pix_fmt="yuv444p")
    with FileSource(clip).open() as reader:
        [frame] = reader
    whole = cv2.resize(frame.picture.bgr(), target, interpolation=cv2.INTER_LINEAR).astype(int)
    assert abs(frame.picture.scaled(*target) - whole).max() <= TABLES + 1


def test_scaled_is_the_same_whether_or_not_the_whole_picture_was_asked_for(bikes):
    with FileSource(bikes).open() as reader:
        picture_of = next(iter(reader)).picture
    before = picture_of.scaled(416, 177)
    picture_of.bgr()
    assert (picture_of.scaled(416, 177) == before).all()
    assert picture_of.scaled(640, 272) is picture_of.bgr()


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "nv12", "bgr24"])
@pytest.mark.parametrize("degrees", [0, 90])
def test_grey_is_as_bright_as_the_picture_and_upright(form, degrees):
    """Of full range, luma is the brightness of the BGR picture."""
    pixels = np.add.outer(np.arange(60), 2 * np.arange(80)).astype(np.uint8)  # a ramp, as filters differ at edges
    source = av.VideoFrame.from_ndarray(np.dstack([pixels] * 3), "bgr24")
    frame = source.reformat(format=form, dst_color_range=ColorRange.JPEG)
    found = DecodedPicture(frame, (degrees == 90, None))
    size = (8, 6) if degrees == 0 else (6, 8)
    whole = cv2.cvtColor(cv2.resize(found.bgr(), size), cv2.COLOR_BGR2GRAY).astype(int)
    assert found.grey(*size).shape == size[::-1]
    assert abs(found.grey(*size) - whole)[1:-1, 1:-1].max() <= 3


def test_pixels_are_frozen_contiguous_and_kept(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 1, (33, 21), codec="ffv1", pix_fmt="yuv444p")
    with FileSource(clip).open() as reader:
        [frame] = reader
    for pixels in (frame.picture.bgr(), frame.picture.scaled(10, 10)):
        assert pixels.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 0
    assert frame.picture.bgr() is frame.picture.bgr()


def test_threads_may_ask_at_once(bikes):
    with FileSource(bikes).open() as reader:
        frames = [frame for _, frame in zip(range(12), reader, strict=False)]
    expected = [(DecodedPicture(f.picture._frame).bgr(), f.picture.scaled(208, 88)) for f in frames]
    wrong = []

    def ask():
        for frame, (whole, small) in zip(frames, expected, strict=True):
            if (frame.picture.bgr() != whole).any() or (frame.picture.scaled(208, 88) != small).any():
                wrong.append(frame.index)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
