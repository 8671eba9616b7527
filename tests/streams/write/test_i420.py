import cv2
import numpy as np
import pytest
from clips import decode, picture, write_clip

from watchline.streams.file import FileSource
from watchline.streams.write.i420 import i420
from watchline.streams.write.mp4 import Mp4Sink

BLUE, YELLOW = (255, 0, 0), (0, 255, 255)


def stripes(index=0, step=1):
    """Columns of `step` pixels, blue and yellow in turn, whose mean is grey."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:] = YELLOW
    pixels[:, np.arange(64) // step % 2 == 0] = BLUE
    return pixels


def shown(planes):
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)).astype(int)


def test_stripes_have_their_mean_colour():
    for pixels in (stripes(), stripes().transpose(1, 0, 2).copy()):
        assert shown(i420(pixels, average=True)).mean((0, 1)) == pytest.approx([127.5] * 3, abs=2)
        assert shown(i420(pixels, average=False)).mean((0, 1))[0] in (0, 255)


def test_both_ways_agree_where_four_pixels_have_one_colour():
    wide = stripes(step=4)
    assert abs(shown(i420(wide, average=True)) - shown(i420(wide, average=False))).max() <= 3
    smooth = picture(3)
    assert abs(shown(i420(smooth, average=True)) - smooth).mean() < 1.5


def copied(source, out):
    with FileSource(source).open() as reader, Mp4Sink(crf=1).open(out, reader.about) as mp4:
        for frame in reader:
            mp4.write(frame.image, frame.pts, frame.time_base)
        mp4.end()
        return reader.about


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("a.mkv", "ffv1", "bgr0"),
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mkv", "ffv1", "yuv422p"),
        ("a.gif", "gif", "rgb8"),
    ],
)
def test_fine_patterns_keep_their_colour_in_the_video(tmp_path, name, codec, form):
    def draw(index):
        return stripes() if form != "yuv422p" else stripes().transpose(1, 0, 2)[:48, :48].copy()

    size = (48, 48) if form == "yuv422p" else (64, 48)
    source = write_clip(tmp_path / name, 3, size, codec=codec, pix_fmt=form, draw=draw, options={"qp": "0"})
    assert not copied(source, tmp_path / "out.mp4").is_420
    was, now = (decode(path).pictures[0].mean((0, 1)) for path in (source, tmp_path / "out.mp4"))
    assert now == pytest.approx(was, abs=6)


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "gray"])
def test_pictures_that_lose_nothing_are_converted_the_fast_way(tmp_path, form):
    source = write_clip(tmp_path / "a.mkv", 3, codec="ffv1", pix_fmt=form, draw=stripes)
    assert copied(source, tmp_path / "out.mp4").is_420
