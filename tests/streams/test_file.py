import gc
import os
from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from clips import decode, picture, write_clip, write_photo, write_tone

from watchline.streams import decoder
from watchline.streams.errors import SourceNotFound, SourceTruncated, SourceUnreadable
from watchline.streams.file import FileSource

MS = Fraction(1, 1000)


def read(path, **settings):
    """All frames that come, the reader, and the error that ended them."""
    frames, error = [], None
    with FileSource(path, **settings).open() as reader:
        try:
            for frame in reader:
                frames.append(frame)
        except SourceTruncated as truncated:
            error = truncated
    return frames, reader, error


def test_a_real_clip_comes_whole(bikes):
    frames, reader, error = read(bikes)
    assert error is None
    assert [f.index for f in frames] == list(range(250))
    assert [f.seconds for f in frames] == pytest.approx([i / 25 for i in range(250)])
    assert {(f.width, f.height) for f in frames} == {(640, 272)}
    about = reader.about
    assert (about.name, about.width, about.height, about.rate, about.frames, about.codec) == (
        "bikes.mp4", 640, 272, 25, 250, "h264",
    )  # fmt: skip
    assert (reader.corrupt, reader.corrected) == (0, 0)


def test_frames_are_freed_as_they_go(bikes):
    """Not when the garbage collector comes by: a frame is megabytes, but few objects to it."""
    gc.collect()
    gc.disable()
    try:
        with FileSource(bikes).open() as reader:
            for _, _frame in zip(range(60), reader, strict=False):
                pass
            alive = sum(type(o) is av.VideoFrame for o in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 10


def test_stream_is_the_stem_unless_it_is_named(tmp_path):
    clip = write_clip(tmp_path / "a clip.v2.mp4", 2)
    assert FileSource(clip).stream == "a clip.v2"
    assert {f.stream for f in read(clip, stream="gate")[0]} == {"gate"}


def test_a_name_with_a_colon_is_no_protocol(tmp_path):
    clip = write_clip(tmp_path / "b.mp4", 2).rename(tmp_path / "http:b.mp4")
    assert len(read(clip)[0]) == 2


def test_settings_are_checked():
    with pytest.raises(ValueError, match="threads"):
        FileSource("a.mp4", threads=0)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(bikes, threads):
    with FileSource(bikes, threads=threads).open() as one, FileSource(bikes).open() as two:
        for a, b, _ in zip(one, two, range(40), strict=False):
            assert a.pts == b.pts
            assert (a.picture.bgr() == b.picture.bgr()).all()


VARIABLE = [1000 + i * 40 + i % 3 * 7 + i // 5 * 500 for i in range(20)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_variable_times_and_a_late_start_are_kept(tmp_path, name):
    codec = "libvpx" if name.endswith("webm") else "libx264"
    clip = write_clip(tmp_path / name, 20, pts=VARIABLE, time_base=MS, codec=codec)
    frames, reader, error = read(clip)
    assert error is None
    assert reader.corrected == 0
    assert [f.pts * f.time_base for f in frames] == [t * MS for t in VARIABLE] == decode(clip).seconds


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("a.avi", {}, id="avi with B-frames, whose made-up times are out of order"),
        pytest.param("a.avi", {"codec": "mpeg4"}, id="avi"),
        pytest.param("a.h264", {}, id="raw H.264 has no times"),
        pytest.param("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}, id="gif"),
        pytest.param("a.y4m", {"codec": "wrapped_avframe", "format": "yuv4mpegpipe"}, id="y4m"),
    ],
)
def test_containers_without_good_times_count_by_rate(tmp_path, name, settings):
    frames, _, error = read(write_clip(tmp_path / name, 20, **settings))
    assert error is None
    assert [float(f.seconds) for f in frames] == pytest.approx([i / 25 for i in range(20)], abs=0.006)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.h264", {}),
        ("a.hevc", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
        ("a.m2v", {"codec": "mpeg2video", "format": "mpeg2video"}),
    ],
)
@pytest.mark.parametrize("rate", [50, Fraction(30000, 1001)])
def test_a_raw_stream_plays_at_its_own_rate(tmp_path, name, settings, rate):
    frames, reader, _ = read(write_clip(tmp_path / name, 30, rate=rate, **settings))
    assert reader.about.rate == rate
    assert [f.seconds for f in frames] == pytest.approx([i / float(rate) for i in range(30)], abs=1e-5)
    assert reader.notes == []


def test_a_raw_stream_that_does_not_say_its_rate(tmp_path):
    options = {"x265-params": "log-level=none:vui-timing-info=0"}
    frames, reader, _ = read(write_clip(tmp_path / "a.hevc", 5, rate=12, codec="libx265", options=options))
    assert [f.seconds for f in frames] == pytest.approx([i / 25 for i in range(5)])
    assert reader.notes == ["a.hevc: its rate is not in the file; 25 frames per second were assumed"]


def test_a_time_that_comes_twice_moves_its_frame_only(tmp_path):
    times = [0, 100, 700, 700, 1500, 1540, 1540, 1600, 2400]
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        video = out.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        photo = write_photo(tmp_path / "a.jpg").read_bytes()
        for time in times:
            packet = av.Packet(photo)
            packet.stream, packet.pts, packet.dts, packet.time_base = video, time, time, MS
            out.mux(packet)
    frames, reader, error = read(tmp_path / "a.mkv")
    assert error is None
    assert [f.pts for f in frames] == [0, 100, 700, 701, 1500, 1540, 1541, 1600, 2400]
    assert reader.corrected == 2


def test_joined_recordings_go_on_after_one_another_with_their_own_sizes(tmp_path):
    first = write_clip(tmp_path / "a.ts", 30, (64, 48))
    second = write_clip(tmp_path / "b.ts", 30, (96, 64))
    joined = tmp_path / "c.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    frames, reader, error = read(joined)
    assert error is None
    assert [f.picture.bgr().shape for f in frames] == [(48, 64, 3)] * 30 + [(64, 96, 3)] * 30
    assert np.diff([f.seconds for f in frames]) == pytest.approx([0.04] * 59, abs=1e-4)
    assert (reader.about.width, reader.about.height) == (64, 48)


def test_a_recording_whose_clock_is_behind_the_first_ones_is_not_a_day_later(tmp_path):
    """FFmpeg takes its times for an overflow of the clock's 33 bits."""
    late = write_clip(tmp_path / "a.ts", 30, container={"output_ts_offset": "100"}).read_bytes()
    early = write_clip(tmp_path / "b.ts", 30).read_bytes()
    (tmp_path / "c.ts").write_bytes(late + early + late)
    frames, _, error = read(tmp_path / "c.ts")
    assert error is None
    assert len(frames) == 90
    assert np.diff([f.seconds for f in frames]) == pytest.approx([0.04] * 89, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9999), (641, 273), (33, 21)])
def test_any_size(tmp_path, size):
    clip = write_clip(tmp_path / "a.mkv", 2, size, codec="ffv1", pix_fmt="yuv444p", colorspace=6)
    frames, reader, _ = read(clip)
    assert (reader.about.width, reader.about.height) == size
    assert [f.picture.bgr().shape for f in frames] == [(size[1], size[0], 3)] * 2
    assert abs(frames[0].picture.bgr() - picture(0, *size).astype(int)).max() < 6


def test_8k(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 1, (7680, 4320), colorspace=1, options={"preset": "ultrafast"})
    [frame], _, _ = read(clip)
    assert frame.picture.bgr().shape == (4320, 7680, 3)
    assert abs(frame.picture.scaled(416, 234) - picture(0, 416, 234).astype(int)).mean() < 6


def test_pixel_aspect_follows_the_rotation(tmp_path):
    settings = {"pixel_aspect": Fraction(4, 3)}
    assert read(write_clip(tmp_path / "a.mp4", 2, **settings))[1].about.pixel_aspect == Fraction(4, 3)
    assert read(write_clip(tmp_path / "b.mp4", 2, rotation=90, **settings))[1].about.pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flv"])
def test_titles_in_another_encoding_than_utf_8_do_not_matter(tmp_path, name):
    clip = tmp_path / name
    with av.open(str(clip), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        out.metadata["title"] = video.metadata["title"] = video.metadata["handler_name"] = "PLACEHOLDER"
        out.mux(video.encode(av.VideoFrame.from_ndarray(picture(0), "bgr24")))
        out.mux(video.encode())
    data = clip.read_bytes()
    assert b"PLACEHOLDER" in data
    clip.write_bytes(data.replace(b"PLACEHOLDER", "Stra\xdfencaf\xe9".encode("latin-1")))
    frames, _, error = read(clip)
    assert (len(frames), error) == (1, None)


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_motion_jpeg_with_exif_whose_kind_of_side_data_pyav_does_not_know(tmp_path, orientation):
    photo = write_photo(tmp_path / "a.jpg", exif_orientation=orientation)
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        video = out.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        for index in range(3):
            packet = av.Packet(photo.read_bytes())
            packet.stream, packet.pts, packet.dts, packet.time_base = video, index, index, Fraction(1, 10)
            out.mux(packet)
    frames, _, error = read(tmp_path / "a.mkv")
    assert (len(frames), error) == (3, None)
    if av.library_versions["libavcodec"] >= (62,):  # FFmpeg 8 is the first that makes a display matrix of EXIF
        upright = cv2.imread(str(photo)).astype(int)
        assert frames[2].picture.bgr().shape == upright.shape
        assert abs(frames[2].picture.bgr() - upright).mean() < 5


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        pytest.param(
            {"options": {"x264-params": "transfer=smpte2084"}}, "it is HDR (PQ) and is not tone-mapped", id="PQ"
        ),
        pytest.param({"options": {"x264-params": "transfer=arib-std-b67"}}, "it is HDR (HLG) and is not", id="HLG"),
        pytest.param({"codec": "ffv1", "pix_fmt": "gray16le"}, "its pictures are grey with 16 bits", id="depth"),
    ],
)
def test_what_is_lost_of_the_pictures_is_said(tmp_path, settings, note):
    frames, reader, _ = read(write_clip(tmp_path / "a.mkv", 3, **settings))
    assert len(frames) == 3
    [said] = reader.notes
    assert said.startswith(f"a.mkv: {note}")


# Bad input


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"container": {"movflags": "faststart"}}),
        ("a.mkv", {"audio": "aac"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.mp4", {"container": {"movflags": "frag_keyframe+delay_moov"}}),
    ],
)
@pytest.mark.parametrize("part", [0.6, 0.75])
def test_a_cut_file_gives_its_frames_and_then_says_where_it_ends(tmp_path, name, settings, part):
    clip = write_clip(tmp_path / name, 150, options={"g": "25"}, **settings)
    whole, _, error = read(clip)
    assert error is None
    assert len(whole) == 150
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * part)])
    frames, _, error = read(clip)
    assert 10 < len(frames) < 150
    assert str(error).startswith(f"{clip} ends after {frames[-1].seconds + 0.04:.1f} ")
    for got, want in zip(frames[:10], whole[:10], strict=True):
        assert got.pts == want.pts
        assert (got.picture.bgr() == want.picture.bgr()).all()


def test_fragments_that_are_cut_inside_an_index_play_up_to_it(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 100, options={"g": "25"}, container={"movflags": "frag_keyframe+delay_moov"})
    data = clip.read_bytes()
    third = [at for at in range(len(data)) if data[at : at + 4] == b"moof"][2]
    clip.write_bytes(data[: third + 30])
    frames, _, error = read(clip)
    assert 40 < len(frames) < 60
    assert "bytes are missing" in str(error)


def test_a_cut_that_takes_no_frame_is_no_error(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 50)
    clip.write_bytes(clip.read_bytes()[:-20])  # into the index at the end
    frames, _, error = read(clip)
    assert (len(frames), error) == (50, None)


def test_audio_that_outlasts_the_pictures_is_no_cut(tmp_path):
    for name in ("a.mkv", "a.mp4"):
        assert read(write_clip(tmp_path / name, 10, audio="aac", audio_seconds=5))[2] is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_damage_in_the_middle_costs_only_what_it_hits(tmp_path, bikes, name):
    clip = tmp_path / name
    with av.open(str(bikes)) as source, av.open(str(clip), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    clip.write_bytes(data)
    frames, reader, error = read(clip)
    assert error is None
    assert 180 <= len(frames) <= 250
    assert reader.corrupt > 0 or len(frames) < 250
    assert [f.index for f in frames] == list(range(len(frames)))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert frames[-1].seconds == pytest.approx(249 / 25, abs=0.1)


def test_damage_to_the_end_is_said(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 200, options={"g": "20"})
    data = clip.read_bytes()
    noise = np.random.default_rng(0).bytes(len(data) - len(data) // 2)  # after one in 200 FFmpeg ends without a word
    clip.write_bytes(data[: len(data) // 2] + noise)
    frames, reader, error = read(clip)
    assert 50 < len(frames) < 150
    assert "of 8.0 s: what follows is damaged" in str(error)
    assert reader.corrupt > 0


def audio_only(path):
    with av.open(str(path), "w") as out:
        write_tone(out, out.add_stream("aac", rate=48000), 1)


def with_cover(path):
    """Music with a cover picture, which is a video stream of one frame."""
    with av.open(str(path), "w") as out:
        sound, cover = out.add_stream("flac", rate=48000), out.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        write_tone(out, sound, 0.2)
        out.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0), "bgr24")))
        out.mux(cover.encode())


def rubbish_packets(path):
    """A sound index over packets that are not H.264."""
    write_clip(path, 20)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start)
    path.write_bytes(data)


def late_fragments(path):
    """A chunk of HLS or DASH: its times go on from those of the chunks before it."""
    write_clip(path, 100, options={"g": "25"}, container={"movflags": "frag_keyframe+empty_moov"})
    with av.open(str(path)) as container:
        late = 8 * container.streams.video[0].time_base.denominator
    data = bytearray(path.read_bytes())
    for at in (at for at in range(len(data)) if data[at : at + 5] == b"tfdt\x01"):
        begin = int.from_bytes(data[at + 8 : at + 16], "big")
        data[at + 8 : at + 16] = (begin + late).to_bytes(8, "big")
    path.write_bytes(data)


def late_matroska(path):
    """Its duration counts from 0, not from its first frame."""
    write_clip(path, 100, pts=range(8000, 12000, 40), time_base=MS, options={"g": "25"})


@pytest.mark.parametrize(("name", "make"), [("a.mp4", late_fragments), ("a.mkv", late_matroska)])
def test_a_late_start_is_not_a_lack(tmp_path, name, make):
    make(tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data.replace(packets[50], packets[50][:9] + bytes(len(packets[50]) - 9)))
    frames, reader, error = read(tmp_path / name)
    assert frames[0].seconds == pytest.approx(8, abs=0.1)
    assert frames[-1].seconds == pytest.approx(11.96, abs=0.1)
    assert reader.corrupt > 0
    assert error is None


KEY = "76a6c65c5ea762046bd749a2e632ccbb"
CENC = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY[::-1]}


def encrypted(path):
    write_clip(path, 20, container=CENC)


def scrambled(path):
    """A transport stream in which all payloads of the video are noise, and marked as scrambled."""
    write_clip(path, 20, format="mpegts")
    data, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at in range(0, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x100:
            data[at + 3] |= 0x80
            start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[start : at + 188] = noise.bytes(at + 188 - start)
    path.write_bytes(data)


def test_what_is_before_the_first_encrypted_packet_is_read(tmp_path, monkeypatch):
    """No encoder at hand writes a clear beginning, so the packets of a clear file are taken for encrypted."""
    clip = write_clip(tmp_path / "a.mp4", 50, options={"g": "25"})
    monkeypatch.setattr(decoder, "is_encrypted", lambda packet: packet.dts * packet.time_base >= 1)
    frames, _, error = read(clip)
    assert len(frames) >= 25
    assert "of 2.0 s: what follows is encrypted" in str(error)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        pytest.param(encrypted, SourceUnreadable, "its video is encrypted", id="encrypted"),
        pytest.param(scrambled, SourceUnreadable, "its video is encrypted", id="scrambled"),
        pytest.param(lambda p: None, SourceNotFound, "there is no such file", id="missing"),
        pytest.param(lambda p: p.mkdir(), SourceUnreadable, "is a folder: expected a video file", id="folder"),
        pytest.param(lambda p: os.mkfifo(p), SourceUnreadable, "is neither a file nor a folder", id="pipe"),
        pytest.param(lambda p: p.write_bytes(b""), SourceUnreadable, "is empty .0 bytes.", id="zero bytes"),
        pytest.param(lambda p: p.write_text("hello\n" * 99), SourceUnreadable, "is a text file: expected a", id="text"),
        pytest.param(
            lambda p: p.write_bytes(bytes(9999)), SourceUnreadable, "is not a video that can be read", id="zeros"
        ),
        pytest.param(audio_only, SourceUnreadable, "no video in it, only audio", id="audio only"),
        pytest.param(rubbish_packets, SourceUnreadable, "no frame of its h264 video can be decoded", id="no frame"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, make, error, message):
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(error, match=message) as caught, FileSource(path).open():
        pass
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_music_with_a_cover_has_no_video(tmp_path):
    with_cover(tmp_path / "a.flac")
    with pytest.raises(SourceUnreadable, match="no video in it"), FileSource(tmp_path / "a.flac").open():
        pass


def test_a_text_file_is_not_drawn_as_a_terminal(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello\n" * 99)
    with pytest.raises(SourceUnreadable, match=r"notes.txt is a text file"), FileSource(path).open():
        pass


def test_a_file_that_was_cut_before_its_index_is_said_to_be_cut(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 50)
    clip.write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(SourceUnreadable, match="is cut off"), FileSource(clip).open():
        pass


def test_a_file_without_the_right_to_read_it(public, as_nobody):
    clip = write_clip(public / "a.mp4", 2)
    clip.chmod(0)
    with (
        as_nobody(),
        pytest.raises(SourceUnreadable, match="may not be read: permission denied"),
        FileSource(clip).open(),
    ):
        pass


def test_a_file_in_a_folder_without_the_right_to_enter_it(public, as_nobody):
    (public / "mine").mkdir(mode=0o700)
    clip = write_clip(public / "mine" / "a.mp4", 2)
    (public / "mine").chmod(0)
    with as_nobody(), pytest.raises(SourceUnreadable, match="may not be read"), FileSource(clip).open():
        pass
    (public / "mine").chmod(0o700)
