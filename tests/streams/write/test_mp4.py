import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import decode, picture, write_clip
from tracks import write_tracks

from watchline.files import part_of
from watchline.streams.errors import SinkError, SourceTruncated
from watchline.streams.file import FileSource
from watchline.streams.source import About
from watchline.streams.write.mp4 import Mp4Sink, finish_part
from watchline.streams.write.remux import Sound, remux

MS = Fraction(1, 1000)
RATE = Fraction(25)


def about(width=64, height=48, **settings):
    return About("a", width, height, 1 / RATE, RATE, **settings)


def write(path, pictures, sink=None, **settings):
    """Pictures at 25 a second. Returns the writer."""
    with (sink or Mp4Sink()).open(path, about(**settings)) as mp4:
        pour(mp4, pictures)
        mp4.end()
    return mp4


def pour(mp4, pictures):
    """Writes pictures at 25 a second."""
    for index, pixels in enumerate(pictures):
        mp4.write(pixels, index, 1 / RATE)


def copy(source, path, frames=None):
    """Copies a video (its first `frames`) through source and sink. Returns the writer and the times of the frames."""
    seconds = []
    with FileSource(source).open() as reader, Mp4Sink().open(path, reader.about, [source]) as mp4:
        for frame in reader:
            if frames is not None and frame.index >= frames:
                break
            mp4.write(frame.picture.bgr(), frame.pts, frame.time_base)
            seconds.append(frame.pts * frame.time_base)
        else:
            mp4.end()
    return mp4, seconds


def audio_times(path):
    with av.open(str(path)) as container:
        return [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]


def test_it_plays_in_a_browser(tmp_path):
    path = tmp_path / "new" / "folder" / "a.mp4"
    write(path, [picture(i) for i in range(60)])
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]
    with av.open(str(path)) as container:
        [video] = container.streams
        context = video.codec_context
        assert (context.name, context.pix_fmt, video.frames) == ("h264", "yuv420p", 60)
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 6, 1)


VARIABLE = [1003 + i * 40 + i % 3 * 7 + i // 10 * 500 for i in range(40)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("a.mp4", {"pts": VARIABLE, "time_base": MS}, id="variable rate, starts late"),
        pytest.param("a.mkv", {"pts": VARIABLE, "time_base": MS}, id="variable rate in milliseconds"),
        pytest.param("a.mp4", {"rate": Fraction(30000, 1001)}, id="29.97"),
        pytest.param("a.mkv", {"rate": Fraction(24000, 1001)}, id="23.976 in milliseconds"),
        pytest.param("a.ts", {"rate": Fraction(30000, 1001), "audio": "aac"}, id="a start between two milliseconds"),
        pytest.param("a.mp4", {"audio": "aac"}, id="with audio"),
        pytest.param("a.avi", {"codec": "mpeg4"}, id="avi"),
        pytest.param("a.h264", {}, id="raw"),
        pytest.param("a.mp4", {"rotation": 90}, id="turned"),
    ],
)
def test_times_are_the_sources_exactly(tmp_path, name, settings):
    source = write_clip(tmp_path / name, 40, **settings)
    _, seconds = copy(source, tmp_path / "out" / "a.mp4")
    assert len(seconds) == 40
    assert decode(tmp_path / "out" / "a.mp4").seconds == seconds


def test_times_in_microseconds_and_one_frame(tmp_path):
    for times in ([7, 33_340, 1_000_001, 99_999_999], [123_456]):
        path = tmp_path / "a.mp4"
        with Mp4Sink().open(path, About("a", 64, 48, Fraction(1, 1_000_000))) as mp4:
            for index, pts in enumerate(times):
                mp4.write(picture(index), pts, Fraction(1, 1_000_000))
        assert decode(path).seconds == [Fraction(pts, 1_000_000) for pts in times]


def test_colours_come_back(tmp_path):
    bars = np.zeros((96, 128, 3), np.uint8)
    colours = [
        (255, 255, 255),
        (0, 255, 255),
        (255, 255, 0),
        (0, 255, 0),
        (255, 0, 255),
        (0, 0, 255),
        (255, 0, 0),
        (90, 90, 90),
    ]
    for number, colour in enumerate(colours):
        bars[:, number * 16 : number * 16 + 16] = colour
    path = tmp_path / "a.mp4"
    write(path, [bars] * 5, Mp4Sink(crf=5))
    with FileSource(path).open() as reader:
        shown = next(iter(reader)).picture
    for number, colour in enumerate(colours):
        assert abs(shown.bgr()[48, number * 16 + 8] - np.array(colour)).max() <= 6
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    write(path, [ramp] * 5, Mp4Sink(crf=5))
    with FileSource(path).open() as reader:
        shown = next(iter(reader)).picture.scaled(256, 32)  # by the equations; swscale's tables are a level darker
    difference = shown.astype(int) - ramp[:32]
    assert abs(difference.mean()) < 0.5
    assert abs(difference).mean() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (33, 21), (641, 273), (66, 50), (7, 9999)])
def test_odd_sizes_repeat_their_last_row_and_column(tmp_path, size):
    width, height = size
    path = tmp_path / "a.mp4"
    write(path, [picture(i, width, height) for i in range(3)], Mp4Sink(crf=5), width=width, height=height)
    shown = decode(path).pictures[0]
    assert shown.shape == (height + height % 2, width + width % 2, 3)
    grey = [
        cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).astype(int) for p in (shown[:height, :width], picture(0, width, height))
    ]
    assert abs(grey[0] - grey[1]).mean() < 5
    assert abs(shown[-1].astype(int) - shown[height - 1]).mean() < 4
    assert abs(shown[:, -1].astype(int) - shown[:, width - 1]).mean() < 4


def test_8k(tmp_path):
    write(tmp_path / "a.mp4", [picture(0, 7680, 4320)], Mp4Sink(preset="ultrafast"), width=7680, height=4320)
    assert decode(tmp_path / "a.mp4").pictures[0].shape == (4320, 7680, 3)


def test_another_size_is_fitted_into_the_first(tmp_path):
    white = [np.full((*size, 3), 255, np.uint8) for size in ((48, 64), (96, 64), (20, 80))]
    mp4 = write(tmp_path / "a.mp4", [*white, white[0]], Mp4Sink(crf=5))
    shown = [p[:, :, 1] > 128 for p in decode(tmp_path / "a.mp4").pictures]
    assert [p.shape for p in shown] == [(48, 64)] * 4
    assert [float(p.mean()) for p in shown] == pytest.approx([1, 0.5, 1 / 3, 1], abs=0.03)
    assert shown[1][:, 32].all()
    assert not shown[1][:, :15].any()
    assert mp4.notes == ["pictures of another size were fitted into 64 x 48, the first one's"]


def test_pixel_aspect_is_kept(tmp_path):
    write(tmp_path / "a.mp4", [picture(0)], pixel_aspect=Fraction(4, 3))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("width", [64, 320, 640])
def test_the_same_pictures_give_the_same_bytes(tmp_path, width):
    pictures = [picture(i, width, 96) for i in range(30)]
    rubbish, files = [], set()
    for _ in range(4):
        write(tmp_path / "a.mp4", pictures, width=width, height=96)
        files.add((tmp_path / "a.mp4").read_bytes())
        rubbish.append(np.random.default_rng().integers(0, 256, 999_999, dtype=np.uint8))  # other memory every time
    assert len(files) == 1


@pytest.mark.parametrize(
    ("name", "audio"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mkv", "mp3"), ("a.mkv", "ac3"), ("a.mkv", "flac")]
)
def test_audio_is_copied_packet_by_packet(tmp_path, name, audio):
    source = write_clip(tmp_path / name, 20, audio=audio, audio_seconds=2)
    out = tmp_path / "out" / "a.mp4"
    mp4, _ = copy(source, out)
    assert mp4.notes == []
    assert decode(out).audio == decode(source).audio
    assert audio_times(out) == pytest.approx(audio_times(source), abs=1e-4)


def test_audio_and_pictures_lie_side_by_side(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 100, audio="aac")
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        order = [(packet.dts * packet.time_base, packet.pos) for packet in container.demux() if packet.size]
    by_place = [when for when, _ in sorted(order, key=lambda packet: packet[1])]
    assert max(abs(a - b) for a, b in zip(by_place, sorted(by_place), strict=True)) < 1


def test_audio_ends_with_the_pictures_when_the_stream_was_cut_short(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 50, audio="aac", audio_seconds=10)
    copy(source, tmp_path / "out.mp4", frames=25)
    assert decode(tmp_path / "out.mp4").seconds[-1] == Fraction(24, 25)
    assert audio_times(tmp_path / "out.mp4")[-1] == pytest.approx(0.96, abs=0.03)


def test_audio_that_mp4_cannot_hold_is_left_out_and_named(tmp_path):
    source = write_clip(tmp_path / "a.mov", 10, audio="pcm_mulaw")
    mp4, seconds = copy(source, tmp_path / "out.mp4")
    assert mp4.notes == ["a.mov: audio track 1 (pcm_mulaw) was left out: MP4 cannot hold it"]
    assert decode(tmp_path / "out.mp4").seconds == seconds


def test_a_track_that_mp4_cannot_hold_costs_that_track_only(tmp_path):
    source = write_tracks(tmp_path / "a.mkv", [((64, 48), 10, True)], [("vorbis", True), ("ac3", False)])
    source.write_bytes(source.read_bytes().replace(b"A_VORBIS", b"A_TRUEHD"))  # for which PyAV has no encoder
    mp4, _ = copy(source, tmp_path / "out.mp4")
    assert mp4.notes == ["a.mkv: audio track 1 (truehd) was left out: MP4 cannot hold it"]
    assert decode(tmp_path / "out.mp4").audio == decode(source).audio[1:]


def test_a_track_whose_packets_mp4_cannot_hold_costs_that_track_only(tmp_path):
    source = write_tracks(tmp_path / "a.mkv", [((64, 48), 10, True)], [("aac", True), ("ac3", False)])
    first, other = decode(source).audio
    rubbish = b"\xff" * len(first[0])  # which looks like ADTS and is not
    source.write_bytes(source.read_bytes().replace(first[0], rubbish))
    mp4, _ = copy(source, tmp_path / "out.mp4")
    assert mp4.notes == ["a.mkv: audio track 1 (aac) was left out: MP4 cannot hold it"]
    assert decode(tmp_path / "out.mp4").audio == [other]


def test_encrypted_audio_is_left_out_and_named(tmp_path):
    key = "76a6c65c5ea762046bd749a2e632ccbb"
    secret = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    source = write_clip(tmp_path / "a.mp4", 10, audio="aac", container=secret)
    pictures = write_clip(tmp_path / "pictures.mp4", 10)
    notes = remux(pictures, tmp_path / "out.mp4", Sound(source))
    assert notes == ["a.mp4: audio track 1 (aac) was left out: it is encrypted"]
    assert decode(tmp_path / "out.mp4").audio == []


def test_the_default_audio_track_stays_the_default(tmp_path):
    source = write_tracks(tmp_path / "a.mp4", [((64, 48), 10, True)], [("aac", False), ("aac", True)])
    copy(source, tmp_path / "out.mp4")
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            assert [int(track.disposition) for track in container.streams.audio] == [0, 1]


def test_uncompressed_audio_that_few_players_play_is_named(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 10, audio="pcm_f32le")
    mp4, _ = copy(source, tmp_path / "out.mp4")
    assert mp4.notes == ["a.mkv: audio track 1 (pcm_f32le) is uncompressed: many players cannot play that in an MP4"]
    assert len(decode(tmp_path / "out.mp4").audio) == 1


def test_frames_before_0_are_shown_with_their_sound(tmp_path):
    """A transport stream whose clock of 33 bits begins anew after a moment; FFmpeg has it begin before 0."""
    source = write_clip(tmp_path / "a.ts", 50, audio="aac", container={"output_ts_offset": "95443.4"})
    mp4, seconds = copy(source, tmp_path / "out.mp4")
    assert -1 < seconds[0] < 0
    assert decode(tmp_path / "out.mp4").seconds == [time - seconds[0] for time in seconds]
    late = [time - float(seconds[0]) for time in audio_times(source)]
    assert audio_times(tmp_path / "out.mp4") == pytest.approx(late, abs=1e-3)
    assert mp4.notes == [
        f"out.mp4 begins at 0 s, its source at {float(seconds[0]):.3f} s: players leave out what is before 0"
    ]


def test_sound_and_pictures_of_joined_recordings_stay_together(tmp_path):
    piece = write_clip(tmp_path / "a.ts", 50, audio="aac", audio_seconds=2.6, options={"bf": "0"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes(piece.read_bytes() * 3)
    _, seconds = copy(joined, tmp_path / "out.mp4")
    assert len(seconds) == 150
    copy(piece, tmp_path / "once.mp4")
    assert decode(tmp_path / "out.mp4").audio == [decode(tmp_path / "once.mp4").audio[0] * 3]
    sounds = audio_times(tmp_path / "out.mp4")
    apart = sounds[0] - seconds[0]
    for number in (1, 2):
        assert sounds[len(sounds) // 3 * number] - seconds[50 * number] == pytest.approx(apart, abs=1e-3)


def test_audio_of_a_cut_source_is_copied_as_far_as_it_goes(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 100, audio="aac")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(SourceTruncated):
        copy(source, tmp_path / "out.mp4")
    seconds = decode(tmp_path / "out.mp4").seconds
    assert seconds == decode(source).seconds[: len(seconds)]
    assert 40 < len(seconds) < 60
    assert audio_times(tmp_path / "out.mp4")[-1] == pytest.approx(float(seconds[-1]), abs=0.2)


# Failures


@pytest.mark.parametrize("how", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_a_finished_file(tmp_path, how):
    path = tmp_path / "a.mp4"

    def fail():
        yield from map(picture, range(30))
        raise how

    with pytest.raises(how), Mp4Sink().open(path, about()) as mp4:
        pour(mp4, fail())
    assert decode(path).seconds == [index / RATE for index in range(30)]
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_no_frames_no_file(tmp_path):
    assert write(tmp_path / "a.mp4", []).notes == ["a.mp4 was not written: there were no frames"]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_costs_seconds_not_all(tmp_path):
    program = """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from fractions import Fraction
        from pathlib import Path
        from clips import picture
        from watchline.streams.write.mp4 import Mp4Sink, finish_part
        from watchline.streams.source import About
        with Mp4Sink().open(Path(sys.argv[1]), About("a", 64, 48, Fraction(1, 25), Fraction(25))) as mp4:
            for index in range(250):
                mp4.write(picture(index), index, Fraction(1, 25))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    tests = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), tmp_path / "a.mp4", tests], check=False)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4.part"]
    seconds = decode(tmp_path / "a.mp4.part").seconds
    assert len(seconds) > 150
    assert seconds == [index / RATE for index in range(len(seconds))]


def test_a_part_is_finished_once_nobody_writes_it(tmp_path):
    path = tmp_path / "a.mp4"
    assert not finish_part(path)
    writer = Mp4Sink().start(path, about())
    pour(writer, map(picture, range(100)))
    left = part_of(path).read_bytes()
    assert not finish_part(path)
    with pytest.raises(SinkError, match=r"a.mp4.part is being written by another process"):
        Mp4Sink().start(path, about())
    assert part_of(path).read_bytes() == left
    with ThreadPoolExecutor(1) as other:
        other.submit(writer.close).result()
    whole = decode(path).seconds
    assert len(whole) == 100
    path.unlink()
    part_of(path).write_bytes(left)
    assert finish_part(path)
    assert decode(path).seconds == whole[: len(decode(path).seconds)] != []
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def noise(index):
    return np.random.default_rng(index).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("preset", ["superfast", "medium"])
def test_a_full_disk_refuses_a_frame_and_has_all_before_it(small_disk, preset):
    """Whatever the encoder and the muxer hold has room."""
    folder = small_disk("3m")
    (folder / "filler").write_bytes(bytes(2**18))
    with Mp4Sink(preset=preset).open(folder / "a.mp4", about(160, 120)) as mp4:
        with pytest.raises(SinkError, match=r"disk full: .*a.mp4 .*plays up to about") as error:
            pour(mp4, map(noise, range(2000)))
        written = mp4.frames
        with pytest.raises(SinkError, match="disk full"):
            mp4.write(noise(0), 2999, 1 / RATE)
        (folder / "filler").unlink()
        mp4.write(noise(0), 3000, 1 / RATE)
    assert isinstance(error.value, OSError)
    assert [file.name for file in folder.iterdir()] == ["a.mp4"]
    assert written > 50
    assert decode(folder / "a.mp4").seconds == [index / RATE for index in (*range(written), 3000)]


def test_a_video_is_on_the_disk_before_its_fragments_are_removed(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def watched(file):
        there = {path.name for path in tmp_path.iterdir()}
        synced.append((Path(f"/proc/self/fd/{file}").readlink(), there))
        sync(file)

    monkeypatch.setattr(os, "fsync", watched)
    write(tmp_path / "a.mp4", [picture(index) for index in range(60)])
    [(copy, before), (folder, after)] = synced  # once, not with each frame
    assert (copy.parent, folder) == (tmp_path, tmp_path)
    assert before == {"a.mp4.part", copy.name}
    assert after == {"a.mp4.part", "a.mp4"}


def test_what_is_reserved_does_not_grow(tmp_path):
    with Mp4Sink().open(tmp_path / "a.mp4", about(160, 120)) as mp4:
        reserved = []
        for index in range(200):
            mp4.write(noise(index), index, 1 / RATE)
            file = part_of(tmp_path / "a.mp4").stat()
            reserved.append(file.st_blocks * 512 - file.st_size)
    assert max(reserved[50:]) <= max(reserved[:50]) + 2**18


def test_a_disk_that_is_full_from_the_start(small_disk):
    folder = small_disk("16k")
    (folder / "filler").write_bytes(bytes(12_000))
    with pytest.raises(SinkError, match="disk full"), Mp4Sink().open(folder / "a.mp4", about(160, 120)) as mp4:
        pour(mp4, map(noise, range(100)))
    assert not (folder / "a.mp4.part").exists()


def test_a_disk_without_room_for_the_last_copy_keeps_the_fragments(small_disk, tmp_path):
    frames = 60
    write(tmp_path / "a.mp4", [noise(index) for index in range(frames)], width=160, height=120)
    size = (tmp_path / "a.mp4").stat().st_size
    folder = small_disk(f"{size * 3 // 2 // 1024}k")
    mp4 = write(folder / "a.mp4", [noise(index) for index in range(frames)], width=160, height=120)
    assert len(mp4.notes) == 1
    assert "a.mp4 is left in fragments" in mp4.notes[0]
    assert [file.name for file in folder.iterdir()] == ["a.mp4"]
    assert len(decode(folder / "a.mp4").seconds) == frames


def test_an_input_is_never_overwritten(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 5)
    other = write_clip(tmp_path / "b.mp4", 5).rename(tmp_path / "b.mp4.part")
    before = source.read_bytes(), other.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    for path in ("a.mp4", "link.mp4", "hard.mp4", "x/../a.mp4"):
        with (
            pytest.raises(SinkError, match="is an input: the output would destroy it"),
            Mp4Sink().open(tmp_path / path, about(path=source)),
        ):
            pass
    with pytest.raises(SinkError, match="is an input"), Mp4Sink().open(tmp_path / "b.mp4", about(), [source, other]):
        pass
    assert (source.read_bytes(), other.read_bytes()) == before
    assert not (tmp_path / "x").exists()


def test_no_other_video_is_touched(tmp_path):
    other = write_clip(tmp_path / "a.part.mp4", 5)
    before = other.read_bytes()
    write(tmp_path / "a.mp4", [picture(0)])
    assert other.read_bytes() == before


@pytest.mark.parametrize("name", ["a.mp4", os.fsdecode(b"a\xff.mp4")])
def test_a_part_that_cannot_be_copied_is_kept(tmp_path, name):
    path = tmp_path / name
    with Mp4Sink().open(path, about(path=tmp_path / "gone.mp4")) as mp4:
        pour(mp4, map(picture, range(5)))
    assert f"{name} is left in fragments, without audio and subtitles" in mp4.notes[0]
    assert len(decode(path.rename(tmp_path / "b.mp4")).seconds) == 5


def test_a_part_that_something_else_damaged_is_left_with_a_note(tmp_path):
    with Mp4Sink().open(tmp_path / "a.mp4", about()) as mp4:
        pour(mp4, map(picture, range(60)))
        os.truncate(tmp_path / "a.mp4.part", 0)
    assert [note for note in mp4.notes if "a.mp4 cannot be copied: " in note] == mp4.notes[:1] != []
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("pixels", "pts"),
    [
        pytest.param(np.zeros((48, 64, 7), np.uint8), 100, id="OpenCV refuses"),
        pytest.param(np.zeros((48, 0, 3), np.uint8), 100, id="no pixels"),
        pytest.param(picture(0), 1 << 70, id="PyAV refuses"),
    ],
)
@pytest.mark.parametrize("before", [0, 60])
def test_a_picture_that_cannot_be_written_is_said_in_a_line(tmp_path, pixels, pts, before):
    with Mp4Sink().open(tmp_path / "a.mp4", about()) as mp4:
        pour(mp4, map(picture, range(before)))
        with pytest.raises(SinkError, match=r"a.mp4 cannot be encoded: .+ \((nothing was kept|a.mp4 plays)") as error:
            mp4.write(pixels, pts, 1 / RATE)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == (["a.mp4"] if before else [])
    if before:
        assert len(decode(tmp_path / "a.mp4").seconds) >= 25


def test_a_folder_that_may_not_be_written(public, as_nobody):
    with as_nobody(), pytest.raises(SinkError, match="may not be written"), Mp4Sink().open(public / "a.mp4", about()):
        pass


def test_what_the_encoder_refuses_is_said(tmp_path):
    wide = np.zeros((2, 20_000, 3), np.uint8)
    with pytest.raises(SinkError, match=r"a.mp4 cannot be encoded"), Mp4Sink().open(tmp_path / "a.mp4", about()) as mp4:
        mp4.write(wide, 0, 1 / RATE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"crf": 52}, {"crf": -1}, {"preset": "fastest"}, {"threads": 0}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Mp4Sink(**settings)
