"""Subtitles: the cues of a video, their WebVTT, and the track inside the MP4, read back by PyAV."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import decode, picture, write_clip

from watchline.files import part_of
from watchline.streams.errors import SinkError
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import LIVE_TIME_BASE, About
from watchline.streams.write import mp4 as mp4_module
from watchline.streams.write.mp4 import Mp4Sink
from watchline.streams.write.segments import SegmentsSink
from watchline.streams.write.subtitles import MOST, Cue, Subtitles, in_lines, webvtt

RATE = Fraction(25)
ABOUT = About("a", 64, 48, 1 / RATE, RATE)
FAST = Mp4Sink(preset="ultrafast", threads=1)


def write(path, texts, shift=0, about=ABOUT):
    """A frame for each text, 25 a second. Returns the notes."""
    with FAST.open(path, about, subtitles=True) as mp4:
        for index, text in enumerate(texts):
            mp4.write(picture(index), index + shift, 1 / RATE, text)
        mp4.end()
    return mp4.notes


def track_of(path):
    """(begin, end, text) in milliseconds, of the track of subtitles; None if there is none."""
    with av.open(str(path)) as container:
        if not container.streams.subtitles:
            return None
        [track] = container.streams.subtitles
        assert track.codec_context.name == "mov_text"
        assert track.metadata["language"] == "eng"
        cues = []
        for packet in container.demux(track):
            data = bytes(packet)
            if len(data) > 2:
                assert int.from_bytes(data[:2], "big") == len(data) - 2
                begin, length = (round(value * packet.time_base * 1000) for value in (packet.pts, packet.duration))
                cues.append((begin, begin + length, data[2:].decode()))
        return cues


def test_a_text_holds_from_its_frame_to_the_next_one():
    subtitles = Subtitles()
    for index, text in enumerate(["", "a", "a", "b", "", "", "a"]):
        subtitles.at(index / Fraction(30), text)
    subtitles.end(7 / Fraction(30))
    subtitles.end(7 / Fraction(30))
    assert subtitles.cues == [Cue(33, 100, "a"), Cue(100, 133, "b"), Cue(200, 233, "a")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog", "a dog"),
        ("", ""),
        (" a \n\n dog\t", "a dog"),
        ("a man in a blue shirt is standing on a ladder", "a man in a blue shirt\nis standing on a ladder"),
        ("a" * 50, "a" * 50),
        ("a\x1b[31m\udcff", "a\\u001b[31m\\xff"),
    ],
)
def test_lines(text, shown):
    assert in_lines(text) == shown
    assert len(in_lines(text * 1000)) <= MOST


def test_webvtt_by_hand():
    cues = [Cue(0, 1500, "a & b <i> --> c"), Cue(3_599_999, 363_600_040, "two\nlines")]
    assert webvtt(cues) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.500\na &amp; b &lt;i&gt; --&gt; c\n\n"
        "00:59:59.999 --> 101:00:00.040\ntwo\nlines\n"
    )
    assert webvtt([]) == "WEBVTT\n"


@pytest.mark.parametrize("first", [0, 3])
def test_they_come_back_from_the_video_and_stand_beside_it(tmp_path, first):
    texts = [*[""] * first, *["a man & a <dog> é"] * 20, *["a street"] * 10]
    assert write(tmp_path / "a.mp4", texts) == []
    begin, middle, end = first * 40, first * 40 + 800, first * 40 + 1200
    assert track_of(tmp_path / "a.mp4") == [(begin, middle, "a man & a <dog> é"), (middle, end, "a street")]
    text = (tmp_path / "a.vtt").read_text()
    assert text == webvtt([Cue(begin, middle, "a man & a <dog> é"), Cue(middle, end, "a street")])
    assert decode(tmp_path / "a.mp4").seconds == [index / RATE for index in range(len(texts))]


def test_they_keep_to_pictures_that_begin_later_or_before_0(tmp_path):
    write(tmp_path / "late.mp4", ["a"] * 5, shift=50)
    assert track_of(tmp_path / "late.mp4") == [(2000, 2200, "a")]
    assert decode(tmp_path / "late.mp4").seconds[0] == 2
    write(tmp_path / "early.mp4", ["a"] * 5 + ["b"] * 5, shift=-5)
    assert track_of(tmp_path / "early.mp4") == [(0, 200, "a"), (200, 400, "b")]
    assert decode(tmp_path / "early.mp4").seconds[0] == 0


def test_sound_stays(tmp_path):
    source = write_clip(tmp_path / "source.mp4", 30, audio="aac")
    with FileSource(source).open() as reader, FAST.open(tmp_path / "a.mp4", reader.about, subtitles=True) as mp4:
        for frame in reader:
            mp4.write(frame.picture.bgr(), frame.pts, frame.time_base, f"second {int(frame.seconds)}")
        mp4.end()
    assert mp4.notes == []
    assert decode(tmp_path / "a.mp4").audio == decode(source).audio
    assert [text for _, _, text in track_of(tmp_path / "a.mp4")] == ["second 0", "second 1"]


def test_a_video_without_words_is_what_it_was(tmp_path):
    with FAST.open(tmp_path / "without.mp4", ABOUT) as mp4:
        for index in range(5):
            mp4.write(picture(index), index, 1 / RATE)
        mp4.end()
    assert not (tmp_path / "without.vtt").exists()
    write(tmp_path / "silent.mp4", [""] * 5)
    assert (tmp_path / "silent.vtt").read_text() == "WEBVTT\n"
    assert (tmp_path / "silent.mp4").read_bytes() == (tmp_path / "without.mp4").read_bytes()


def test_they_appear_with_the_video(tmp_path):
    """So a process that is killed leaves no half of them."""
    with FAST.open(tmp_path / "a.mp4", ABOUT, subtitles=True) as mp4:
        for index in range(100):
            mp4.write(picture(index), index, 1 / RATE, f"text {index // 10}")
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.vtt"]


def test_what_was_there_is_replaced(tmp_path):
    (tmp_path / "a.vtt").write_text("old")
    write(tmp_path / "a.mp4", ["a"])
    assert "old" not in (tmp_path / "a.vtt").read_text()


def test_no_video_no_subtitles(tmp_path):
    assert write(tmp_path / "a.mp4", []) == ["a.mp4 was not written: there were no frames"]
    assert list(tmp_path.iterdir()) == []


def test_the_video_is_not_lost_with_them(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mp4_module, "write_webvtt", full)
    [note] = write(tmp_path / "a.mp4", ["a"] * 5)
    assert note.startswith("the subtitles are not beside the video: disk full")
    assert track_of(tmp_path / "a.mp4") == [(0, 200, "a")]
    monkeypatch.undo()
    monkeypatch.setattr("watchline.streams.write.remux.add_track", lambda _: av.open("/nowhere"))
    [note] = write(tmp_path / "b.mp4", ["a"] * 5)
    assert note.startswith("b.mp4 is left in fragments, without audio and subtitles, because it could not be copied")
    assert (track_of(tmp_path / "b.mp4"), len(decode(tmp_path / "b.mp4").pictures)) == (None, 5)
    assert "00:00:00.000 --> 00:00:00.200\na\n" in (tmp_path / "b.vtt").read_text()


def test_a_failure_leaves_them_as_far_as_the_video_goes(tmp_path):
    with FAST.open(tmp_path / "a.mp4", ABOUT, subtitles=True) as mp4:
        for index in range(100):
            mp4.write(picture(index), index, 1 / RATE, "a")
        with pytest.raises(SinkError, match="plays up to"):
            mp4.write(np.zeros((0, 0, 3), np.uint8), 100, 1 / RATE, "b")
    assert (tmp_path / "a.vtt").read_text() == webvtt([Cue(0, 4000, "a")])
    assert not part_of(tmp_path / "a.vtt").exists()


def test_each_segment_of_a_recording_has_its_own(tmp_path):
    """A text that goes on is in both, from the beginning of each."""
    morning = 1_795_000_000 // 10 * 10 + 9.0
    with SegmentsSink(FAST, split=10).open(tmp_path, "gate", {}, subtitles=True) as writer:
        writer.begin(ABOUT)
        for index in range(50):
            pts = round(Fraction(index, 25) / LIVE_TIME_BASE)
            shown = ArrayPicture(picture(index))
            frame = Frame("gate", index, pts, LIVE_TIME_BASE, shown, 0.0, None, 0, morning + index / 25)
            writer.write(shown.pixels, frame, [], "" if index < 10 else "a" if index < 40 else "b")
    videos = sorted(tmp_path.glob("*.mp4"))
    assert list(map(track_of, videos)) == [[(400, 1000, "a")], [(0, 600, "a"), (600, 1000, "b")]]
    for video in videos:
        assert video.with_suffix(".vtt").read_text() == webvtt(Cue(*cue) for cue in track_of(video))
    assert {path.suffix for path in writer.paths} == {".mp4", ".vtt"}
