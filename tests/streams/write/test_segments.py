import itertools
import json
import logging
import os
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest
from clips import decode, picture
from ledger_of import ledger_of

from watchline.streams.errors import SinkError
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import LIVE_TIME_BASE, About
from watchline.streams.write import segments
from watchline.streams.write.jsonl import dropped_line, frame_line, state_line
from watchline.streams.write.mp4 import Mp4Sink
from watchline.streams.write.segments import SegmentsSink, left_open, recover

ROOT = Path(__file__).parents[3]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "events.schema.json").read_text()))
HEADER = {"source": "rtsp://host/gate", "stream": "gate", "version": "0", "model": {}, "config": {"every": 1}}
MORNING = datetime(2026, 11, 23, 6, 44, 58, tzinfo=UTC).timestamp()
RATE = 25
FAST = Mp4Sink(preset="ultrafast", threads=1)
NONE = {"detections": []}


@pytest.fixture
def clock(monkeypatch):
    """The time of day when a recording opens: two seconds before a quarter to seven."""
    monkeypatch.setattr(segments.time, "time", lambda: MORNING)


def live(index, seconds=None, size=(64, 48), stream="gate"):
    """The frame of an index, at 25 a second from MORNING on, or `seconds` after it."""
    seconds = index / RATE if seconds is None else seconds
    shown = ArrayPicture(picture(index, *size))
    pts = round(Fraction(seconds) / LIVE_TIME_BASE)
    return Frame(stream, index, pts, LIVE_TIME_BASE, shown, 0.0, None, 0, MORNING + seconds)


def record(writer, frames):
    for frame in frames:
        writer.write(frame.picture.bgr(), frame, [frame_line(frame, NONE, 0.04)])


def mend(folder):
    return recover(left_open(folder, "gate"), "gate")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def events_of(path):
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        SCHEMA.validate(event)
    return events


def footer_of(path):
    return events_of(path)[-1]["footer"]


def indexes_of(path):
    return [event["frame"] for event in events_of(path) if "frame" in event]


def playable(path):
    """The exact times of the pictures in a file, decoded."""
    return decode(path).seconds


def is_finished(path):
    data = path.read_bytes()
    return b"moof" not in data and data.index(b"moov") < data.index(b"mdat")


def test_a_pair_is_called_after_its_beginning(tmp_path, clock):
    with SegmentsSink(FAST).open(tmp_path / "new", "gate", HEADER) as writer:
        writer.event(state_line("gate", "connecting", 0, MORNING))
        assert names(tmp_path / "new") == ["gate-20261123T064458Z.jsonl.part"]  # no video before the first frame
        record(writer, map(live, range(5)))
        writer.end()
    video, events = writer.paths
    assert (
        names(tmp_path / "new")
        == ["gate-20261123T064458Z.jsonl", "gate-20261123T064458Z.mp4"]
        == [
            events.name,
            video.name,
        ]
    )
    told = events_of(events)[1:-1]
    assert [event.get("frame", event.get("state")) for event in told] == ["connecting", *range(5)]
    assert footer_of(events) == {"stream": "gate", "whole": True, "frames": 5, "dropped": {}}
    assert playable(video) == [Fraction(index, RATE) for index in range(5)]
    assert is_finished(video)
    assert writer.notes == []


def test_a_pair_begins_at_each_multiple_by_the_clock(tmp_path, clock):
    with SegmentsSink(FAST, split=10).open(tmp_path, "gate", HEADER) as writer:
        record(writer, (live(index, seconds=index / RATE) for index in range(25 * 23)))
    stems = ["gate-20261123T064458Z", "gate-20261123T064500Z", "gate-20261123T064510Z", "gate-20261123T064520Z"]
    assert writer.paths == [tmp_path / f"{stem}{suffix}" for stem in stems for suffix in (".mp4", ".jsonl")]
    indexes = [indexes_of(tmp_path / f"{stem}.jsonl") for stem in stems]
    assert [len(part) for part in indexes] == [50, 250, 250, 25]
    assert list(itertools.chain(*indexes)) == list(range(25 * 23))  # none lost, none twice
    for stem, part in zip(stems, indexes, strict=True):
        assert playable(tmp_path / f"{stem}.mp4") == [Fraction(index, RATE) for index in range(len(part))]
        assert events_of(tmp_path / f"{stem}.jsonl")[0]["header"] == HEADER
        assert footer_of(tmp_path / f"{stem}.jsonl")["whole"] == (stem != stems[-1])  # the stream has not ended
    assert ledger_of(writer.paths[1::2])["gate"].frames == 25 * 23


def test_events_go_where_the_stream_is(tmp_path, clock):
    with SegmentsSink(FAST, split=10).open(tmp_path, "gate", HEADER) as writer:
        record(writer, [live(0), live(1)])
        writer.event(
            dropped_line("gate", "late", 2, 0, MORNING + 9), ("late", 2)
        )  # after the hour, but before the next frame
        record(writer, [live(4, seconds=9)])
        writer.event(state_line("gate", "ended", 0, MORNING + 10))
    first, second = (events_of(path)[1:-1] for path in writer.paths[1::2])
    assert [event.get("frame", event.get("cause")) for event in first] == [0, 1, "late"]
    assert [event.get("frame", event.get("state")) for event in second] == [4, "ended"]
    assert ledger_of(writer.paths[1::2])["gate"].decoded == 5


def test_a_clock_that_is_put_back_a_little_makes_no_new_pair(tmp_path, clock):
    times = [1.9, 2.1, 1.95, 1.99, 2.2]
    with SegmentsSink(None, split=10).open(tmp_path, "gate", HEADER) as writer:
        for index, seconds in enumerate(times):
            frame = live(index, seconds)
            writer.write(None, frame, [frame_line(frame, NONE)])
    assert [indexes_of(path) for path in writer.paths] == [[0], [1, 2, 3, 4]]


def test_a_clock_that_is_put_back_far_makes_one(tmp_path, clock):
    with SegmentsSink(None, split=10).open(tmp_path, "gate", HEADER) as writer:
        for index, seconds in enumerate([0, 3600, 3601, 1800, 1801]):
            frame = live(index, seconds)
            writer.write(None, frame, [frame_line(frame, NONE)])
    assert [indexes_of(path) for path in writer.paths] == [[0], [1, 2], [3, 4]]


def test_another_size_is_another_pair(tmp_path, clock):
    sizes = [(64, 48), (64, 48), (32, 24), (64, 48)]
    with SegmentsSink(FAST).open(tmp_path, "gate", HEADER) as writer:
        record(writer, (live(index, size=size) for index, size in enumerate(sizes)))
    assert [path.stem for path in writer.paths[::2]] == [
        "gate-20261123T064458Z",
        "gate-20261123T064458Z-2",
        "gate-20261123T064458Z-3",
    ]
    assert [indexes_of(path) for path in writer.paths[1::2]] == [[0, 1], [2], [3]]
    assert [decode(path).pictures[0].shape[:2] for path in writer.paths[::2]] == [(48, 64), (24, 32), (48, 64)]


def test_a_gap_that_mp4_cannot_say_is_another_pair(tmp_path, clock):
    with SegmentsSink(FAST).open(tmp_path, "gate", HEADER) as writer:
        record(writer, [live(0), live(1), live(2, 3000), live(3, 3000 + 7 * 3600), live(4, 3001 + 7 * 3600)])
    assert [playable(path) for path in writer.paths[::2]] == [[0, Fraction(1, 25), 3000], [0, 1]]


def test_what_is_known_of_the_stream_holds_for_the_next_video(tmp_path, clock):
    with SegmentsSink(FAST).open(tmp_path, "gate", HEADER) as writer:
        record(writer, [live(0)])
        writer.begin(About("gate", 64, 48, LIVE_TIME_BASE, pixel_aspect=Fraction(4, 3)))
        record(writer, [live(1)])
    shown = []
    for path in writer.paths[::2]:
        with av.open(str(path)) as container:
            shown.append(container.streams.video[0].sample_aspect_ratio)
    assert shown[1] == Fraction(4, 3) != shown[0]


def test_nothing_that_is_there_is_overwritten(tmp_path, clock):
    for stem, suffix in (("", ".jsonl"), ("-2", ".mp4"), ("-3", ".mp4.part")):
        (tmp_path / f"gate-20261123T064458Z{stem}{suffix}").write_text("precious")
    for _ in range(2):
        with SegmentsSink(FAST).open(tmp_path, "gate", HEADER) as writer:
            record(writer, map(live, range(3)))
    assert [path.stem for path in writer.paths] == ["gate-20261123T064458Z-5"] * 2
    assert len(names(tmp_path)) == 3 + 4
    for stem, suffix in (("", ".jsonl"), ("-2", ".mp4"), ("-3", ".mp4.part")):
        assert (tmp_path / f"gate-20261123T064458Z{stem}{suffix}").read_text() == "precious"


def test_events_only(tmp_path, clock):
    with SegmentsSink(None).open(tmp_path, "gate", HEADER) as writer:
        for frame in map(live, range(3)):
            writer.write(None, frame, [] if frame.index == 1 else [frame_line(frame, NONE)])
    assert names(tmp_path) == ["gate-20261123T064458Z.jsonl"]
    assert indexes_of(writer.paths[0]) == [0, 2]


def test_videos_are_finished_while_the_frames_go_on(tmp_path, clock, caplog):
    caplog.set_level(logging.DEBUG, segments.__name__)
    with SegmentsSink(FAST, split=10).open(tmp_path, "gate", HEADER) as writer:
        record(writer, map(live, range(51)))
        first = tmp_path / "gate-20261123T064458Z.mp4"
        until = time.monotonic() + 10
        while not first.exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert is_finished(first)
        record(writer, map(live, range(51, 60)))
    said = {record.getMessage(): record.threadName for record in caplog.records}
    assert list(said) == [f"gate: gate-20261123T06{stamp}Z.mp4 is finished" for stamp in ("4458", "4500")]
    assert {name.startswith("gate-finisher") for name in said.values()} == {True}


def test_many_short_pairs_do_not_pile_up(tmp_path, clock):
    with SegmentsSink(FAST, split=1).open(tmp_path, "gate", HEADER) as writer:
        record(writer, (live(index, seconds=index / 2) for index in range(60)))
        assert len(list(tmp_path.glob("*.mp4.part"))) <= segments.MOST_UNFINISHED + 2
    assert len(list(tmp_path.glob("*.mp4"))) == 30
    assert list(tmp_path.glob("*.part*")) == []


# Failures


RECORD = """
    import os, signal, sys
    sys.path[:0] = [sys.argv[2], sys.argv[3]]
    from pathlib import Path
    from test_segments import FAST, HEADER, live, record
    from watchline.streams.write.segments import SegmentsSink
    with SegmentsSink(FAST).open(Path(sys.argv[1]), "gate", HEADER) as writer:
        record(writer, map(live, range(250)))
        if sys.argv[4] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("recording", flush=True)
        sys.stdin.readline()
"""


def recorder(folder, how):
    paths = Path(__file__).parent, ROOT / "tests"
    command = [sys.executable, "-c", textwrap.dedent(RECORD), folder, *paths, how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_killed_recorder_costs_a_second_and_the_next_one_mends_it(tmp_path, caplog):
    with recorder(tmp_path, "kill") as job:
        job.wait()
    [events, part] = [tmp_path / name for name in names(tmp_path)]
    assert part.name == f"{Path(events.stem).stem}.mp4.part"
    seconds = playable(part)  # as it was left
    assert len(seconds) >= 250 - RATE - 3  # the open fragment, and what the encoder holds
    assert seconds == [Fraction(index, RATE) for index in range(len(seconds))]
    assert indexes_of(events) == list(range(250))
    caplog.set_level(logging.WARNING)
    with SegmentsSink(FAST).open(tmp_path, "gate", HEADER) as writer:
        record(writer, map(live, range(2)))
    finished = [tmp_path / path.stem for path in (events, part)]
    assert playable(finished[1]) == seconds
    assert is_finished(finished[1])
    assert indexes_of(finished[0]) == list(range(250))
    assert "footer" not in events_of(finished[0])[-1]
    assert len(names(tmp_path)) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"gate: an earlier run had left {path.name} open; it is finished now" for path in finished
    ]


def test_a_recording_that_is_going_on_is_left_alone(tmp_path):
    with recorder(tmp_path, "wait") as job:
        job.stdout.readline()
        before = names(tmp_path)
        with (
            pytest.raises(SinkError, match=r"jsonl.part is being written by another process; choose another folder"),
            SegmentsSink(None).open(tmp_path, "gate", HEADER),
        ):
            pass
        assert recover([tmp_path / name.removesuffix(".part") for name in before], "gate") == []
        assert names(tmp_path) == before
        with SegmentsSink(None).open(tmp_path, "yard", HEADER):
            pass  # another stream
        job.communicate("\n")
    [video] = tmp_path.glob("*.mp4")
    assert len(playable(video)) == 250


@pytest.fixture
def part(tmp_path):
    """What a killed process left: three seconds in fragments."""
    with recorder(tmp_path, "kill") as job:
        job.wait()
    [part] = tmp_path.glob("*.mp4.part")
    for events in tmp_path.glob("*.jsonl.part"):
        events.unlink()
    return part


def test_a_part_that_ends_inside_a_fragment_is_finished_up_to_it(part):
    before = playable(part)
    os.truncate(part, part.stat().st_size - 10)
    [video] = mend(part.parent)
    seconds = playable(video)
    assert 0 < len(seconds) < len(before)
    assert seconds == before[: len(seconds)]


def test_only_the_streams_own_parts_are_finished(part):
    folder = part.parent
    for name in ("gate-20261123T064500Z-extra.mp4.part", "gate2-20261123T064500Z.mp4.part", "gate.mp4.part"):
        (folder / name).write_bytes(part.read_bytes())
    assert [video.name for video in mend(folder)] == [part.name.removesuffix(".part")]
    assert len(list(folder.glob("*.part"))) == 3


def test_an_empty_part_is_removed_and_one_that_is_no_video_is_kept(tmp_path, caplog):
    empty, rubbish = (tmp_path / f"gate-20261123T06450{second}Z.mp4.part" for second in (0, 1))
    empty.touch()
    rubbish.write_bytes(bytes(5000))
    assert mend(tmp_path) == []
    assert not empty.exists()
    assert rubbish.stat().st_size == 5000
    [record] = caplog.records
    assert record.getMessage().endswith(
        "gate-20261123T064501Z.mp4 and is left as it is: it has no complete fragment of a video"
    )


def test_no_room_to_mend_a_part_leaves_it_as_it_is(part, small_disk, caplog):
    disk = small_disk(f"{part.stat().st_size * 3 // 2 // 1024 + 4}k")
    kept = disk / part.name
    kept.write_bytes(part.read_bytes())
    assert mend(disk) == []
    assert names(disk) == [part.name]
    assert len(playable(kept)) > 200
    assert "No space left" in caplog.records[0].getMessage()


def noise(index):
    frame = live(index)
    pixels = np.random.default_rng(index).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    return pixels, frame, [frame_line(frame, NONE)]


def test_a_full_disk_costs_frames_and_makes_no_files(small_disk, clock):
    folder = small_disk("2m")
    (folder / "filler").write_bytes(bytes(2**20))
    with SegmentsSink(FAST).open(folder, "gate", HEADER) as writer:
        with pytest.raises(SinkError, match=r"disk full: .*gate-20261123T064458Z.mp4 .*plays up to about"):
            for index in range(2000):
                writer.write(*noise(index))
        open_ones = names(folder)
        for more in range(index + 1, index + 50):
            with pytest.raises(SinkError, match="disk full"):
                writer.write(*noise(more))
        assert names(folder) == open_ones
        (folder / "filler").unlink()
        for again in range(more + 1, more + 11):  # there is room now
            writer.write(*noise(again))
    expected = [*range(index), *range(more + 1, more + 11)]
    assert index > 20
    assert indexes_of(writer.paths[1]) == expected
    assert playable(writer.paths[0]) == [Fraction(frame, RATE) for frame in expected]
    assert footer_of(writer.paths[1])["frames"] == len(expected)
    assert names(folder) == [path.name for path in reversed(writer.paths)]


def test_a_frame_of_whose_lines_one_has_no_room_has_none(small_disk, clock):
    """It counts as lost, and a line that was left of it would count as well."""
    folder = small_disk("64k")
    with SegmentsSink(None).open(folder, "gate", HEADER) as writer:
        frames = [live(index) for index in range(20)]
        with pytest.raises(SinkError, match="disk full"):
            for frame in frames:
                writer.write(None, frame, [frame_line(frame, NONE), json.dumps({"note": "x" * 9000}).encode() + b"\n"])
    [_, *lines, footer] = [json.loads(line) for line in writer.paths[0].read_text().splitlines()]
    assert [line.get("frame", "note") for line in lines] == [x for n in range(len(lines) // 2) for x in (n, "note")]
    assert len(lines) > 4
    assert footer["footer"]["frames"] == len(lines) // 2


def test_no_room_even_for_a_header_leaves_no_empty_files(small_disk, clock):
    folder = small_disk("256k")
    (folder / "filler").write_bytes(bytes(2**18))
    (folder / "there is room for names").touch()
    with pytest.raises(SinkError, match="disk full"), SegmentsSink(FAST).open(folder, "gate", HEADER):
        pass
    assert len(names(folder)) == 2


def test_a_video_that_cannot_be_finished_is_named_at_the_end(tmp_path, clock):
    with (
        pytest.raises(SinkError, match=r"gate-20261123T064458Z.mp4") as error,
        SegmentsSink(FAST, split=10).open(tmp_path, "gate", HEADER) as writer,
    ):
        record(writer, map(live, range(30)))
        (tmp_path / "gate-20261123T064458Z.mp4").mkdir()
        record(writer, map(live, range(30, 90)))
    assert "\n" not in str(error.value)
    writer.close()
    assert len(playable(tmp_path / "gate-20261123T064500Z.mp4")) == 40
    assert len(playable(tmp_path / "gate-20261123T064458Z.mp4.part")) == 50


def test_a_folder_that_may_not_be_written(public, as_nobody):
    (public / "mine").mkdir()
    for mode in (0o755, 0o700):
        (public / "mine").chmod(mode)
        with (
            as_nobody(),
            pytest.raises(SinkError, match="may not be written"),
            SegmentsSink(FAST).open(public / "mine", "gate", HEADER),
        ):
            pass


@pytest.mark.parametrize("split", [0, -1, 0.5])
def test_a_split_is_a_second_at_least(split):
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        SegmentsSink(FAST, split=split)
