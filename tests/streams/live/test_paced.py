import threading
import time
from fractions import Fraction
from itertools import pairwise

import pytest
from clips import picture, write_clip

from watchline.streams.errors import SourceNotFound, SourceTruncated
from watchline.streams.file import FileSource
from watchline.streams.live.paced import PacedSource
from watchline.streams.source import LIVE_TIME_BASE

JITTER = 0.3  # seconds that a busy machine may take to wake us


@pytest.fixture
def clip(tmp_path):
    """10 frames in 0.4 s."""
    return write_clip(tmp_path / "gate.mp4", 10, rate=25)


def times_of(source, count=None, work=lambda i: None):
    """Frames, and when each was given, in seconds after the first."""
    frames, times, before = [], [], time.monotonic()
    with source.open() as reader:
        for i, frame in enumerate(reader):
            times.append(time.monotonic())
            assert times[-1] - before >= frame.seconds  # none comes early
            frames.append(frame)
            work(i)
            if i + 1 == count:
                break
    return frames, [t - times[0] for t in times]


def test_every_frame_comes_when_it_is_due(clip):
    before = time.time()
    frames, times = times_of(PacedSource(FileSource(clip)))
    assert [f.index for f in frames] == list(range(10))
    assert {(f.stream, f.time_base, f.epoch) for f in frames} == {("gate", LIVE_TIME_BASE, None)}
    assert [f.pts for f in frames] == [3600 * i for i in range(10)]
    for i, at in enumerate(times):
        assert at <= i / 25 + JITTER
    assert [int(f.picture.bgr()[5, 5, 2]) for f in frames] == pytest.approx(
        [int(picture(i)[5, 5, 2]) for i in range(10)], abs=8
    )
    for frame, at in zip(frames, times, strict=True):
        assert frame.time - before == pytest.approx(at, abs=0.3)
        assert frame.arrival - frames[0].arrival == pytest.approx(at, abs=JITTER)


def test_who_was_late_gets_the_rest_at_once_and_no_drift_stays(clip):
    _, times = times_of(PacedSource(FileSource(clip)), work=lambda i: time.sleep(0.2) if i == 1 else None)
    assert times[5] < 0.24 + JITTER  # was due at 0.2
    assert times[9] == pytest.approx(0.36, abs=JITTER)


def test_irregular_times_are_kept_and_begin_at_zero(tmp_path):
    pts = [1000, 1010, 1011, 1200]
    clip = write_clip(tmp_path / "vfr.mkv", 4, pts=pts, time_base=Fraction(1, 1000))
    frames, times = times_of(PacedSource(FileSource(clip)))
    assert [f.pts for f in frames] == [90 * (t - 1000) for t in pts]
    assert times == pytest.approx([0, 0.01, 0.011, 0.2], abs=JITTER)


def test_a_loop_goes_on_with_growing_times(clip):
    frames, times = times_of(PacedSource(FileSource(clip), loop=True), count=25)
    assert [f.index for f in frames] == list(range(25))
    assert [f.pts for f in frames] == [3600 * i for i in range(25)]
    assert 0.95 < times[24] < 0.96 + 20 * JITTER  # to leave the file takes long on a busy machine
    # To leave the file the collector goes through all that the tests have loaded.
    assert max(b - a for a, b in pairwise(times)) < 0.04 + 10 * JITTER
    assert int(frames[13].picture.bgr()[5, 5, 2]) == pytest.approx(int(picture(3)[5, 5, 2]), abs=8)


def test_about_is_of_a_live_stream(clip):
    with PacedSource(FileSource(clip)).open() as reader:
        about = reader.about
    assert (about.name, about.time_base, about.frames, about.path) == ("gate.mp4", LIVE_TIME_BASE, 10, None)
    assert (about.width, about.height, about.codec, about.rate) == (64, 48, "h264", 25)
    with PacedSource(FileSource(clip), loop=True).open() as reader:
        assert reader.about.frames is None
    source = PacedSource(FileSource(clip, stream="door"))
    assert (source.live, source.ends, source.name, source.stream) == (True, True, "gate.mp4", "door")


def test_leaving_wakes_a_reader_that_waits(tmp_path):
    clip = write_clip(tmp_path / "slow.mkv", 2, pts=[0, 30_000], time_base=Fraction(1, 1000))
    got = []
    with PacedSource(FileSource(clip)).open() as reader:
        thread = threading.Thread(target=lambda: got.extend(reader))
        thread.start()
        time.sleep(0.1)
        left = time.monotonic()
        reader.closed.set()
        thread.join(5)
    assert time.monotonic() - left < 1
    assert len(got) == 1


def test_what_ends_a_file_ends_it_here(tmp_path, clip):
    with pytest.raises(SourceNotFound, match="no such file"), PacedSource(FileSource(tmp_path / "none.mp4")).open():
        pass
    whole = write_clip(tmp_path / "whole.ts", 20)
    cut = tmp_path / "cut.mp4"
    write_clip(cut, 20, container={"movflags": "faststart"})
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) * 9 // 10])
    frames = []
    with pytest.raises(SourceTruncated), PacedSource(FileSource(cut), loop=True).open() as reader:
        frames.extend(reader)
    assert len(times_of(PacedSource(FileSource(whole)))[0]) == 20
