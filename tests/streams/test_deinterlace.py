import numpy as np
import pytest
from clips import picture, write_clip

from watchline.streams.file import FileSource

INTERLACED = {"flags": "+ilme+ildct", "x264-params": "tff=1:log-level=none", "qp": "10"}


def moving(index, width=128, height=96):
    """A white bar that moves 8 pixels a field: odd rows are half a frame later than even ones."""
    pixels = np.full((height, width, 3), 30, np.uint8)
    for row in range(height):
        left = 16 * index % 96 + 8 * (row % 2)
        pixels[row, left : left + 24] = 220
    return pixels


def combs(pixels):
    """How much neighbouring rows differ, where the rows beyond them do not."""
    grey = pixels[:, :, 1].astype(int)
    return np.clip(abs(grey[1:-1] - grey[:-2]) - abs(grey[2:] - grey[:-2]), 0, None).mean()


def read(path):
    with FileSource(path).open() as reader:
        frames = list(reader)
        return frames, reader.notes


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", INTERLACED),
        ("a.mkv", "mpeg2video", {"flags": "+ilme+ildct", "q": "1"}),
        ("a.h264", "libx264", INTERLACED),
        ("a.avi", "mpeg4", {"flags": "+ilme+ildct"}),
    ],
)
@pytest.mark.parametrize("frames", [2, 12])
def test_interlaced_pictures_lose_their_combs_and_keep_their_times(tmp_path, name, codec, options, frames):
    clip = write_clip(tmp_path / name, frames, (128, 96), codec=codec, options=options, draw=moving)
    shown, notes = read(clip)
    assert len(shown) == frames
    assert np.diff([f.seconds for f in shown]) == pytest.approx([0.04] * (frames - 1), abs=1e-3)
    assert notes == [f"{name}: {frames} interlaced frames were deinterlaced"]
    if frames > 2:
        assert combs(shown[6].image) < combs(moving(6)) / 4
        assert abs(shown[6].image[:, :, 1].mean() - moving(6)[:, :, 1].mean()) < 6


def test_rotation_and_colours_survive(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 5, options=INTERLACED, rotation=90, colorspace=1)
    plain = write_clip(tmp_path / "b.mp4", 5, options={"qp": "10"}, rotation=90, colorspace=1)
    for one, two in zip(read(clip)[0], read(plain)[0], strict=True):
        assert abs(one.image - two.image.astype(int)).mean() < 2


def test_a_change_of_size_and_of_kind_loses_no_frame(tmp_path):
    parts = [
        write_clip(tmp_path / "1.ts", 7, (128, 96), draw=moving, options=INTERLACED),
        write_clip(tmp_path / "2.ts", 7, (64, 48)),
        write_clip(tmp_path / "3.ts", 7, (64, 48), options=INTERLACED),
    ]
    joined = tmp_path / "a.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, notes = read(joined)
    assert [f.width for f in frames] == [128] * 7 + [64] * 14
    assert [f.index for f in frames] == list(range(21))
    assert "a.ts: 14 interlaced frames were deinterlaced" in notes
    for index in range(7):
        assert abs(frames[7 + index].image - picture(index).astype(int)).mean() < 8


def test_what_the_filter_does_not_take_passes_as_it_is(tmp_path):
    frames, notes = read(
        write_clip(tmp_path / "a.mkv", 3, (16, 2), codec="mpeg2video", options={"flags": "+ilme+ildct"})
    )
    assert [f.image.shape for f in frames] == [(2, 16, 3)] * 3
    assert notes == []


def test_a_single_frame(tmp_path):
    frames, notes = read(write_clip(tmp_path / "a.mp4", 1, (128, 96), options=INTERLACED, draw=moving))
    assert (len(frames), notes) == (1, ["a.mp4: 1 interlaced frames were deinterlaced"])
