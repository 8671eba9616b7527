import json
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path
from time import tzset

import jsonschema
import numpy as np
import pytest

from watchline.ops.detections import Detections
from watchline.streams.errors import SinkError
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.write.jsonl import (
    STANDARD_OUTPUT,
    JsonlWriter,
    NobodyReads,
    Tally,
    appending,
    dropped_line,
    event_line,
    frame_line,
    header_line,
    state_line,
    timestamp,
)

ROOT = Path(__file__).parents[3]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "events.schema.json").read_text()))
HEADER = {"source": "bikes.mp4", "version": "0.1.0", "model": {"name": "yolov2"}, "config": {"conf": 0.25}}
LABELS = ("person", "bicycle")
MORNING = 1795416300.1239  # 2026-11-23, 06:45 UTC


def frame(index=17, pts=17, time_base=Fraction(1, 25), file=None, stream="bikes", epoch=None, time=None):
    picture = ArrayPicture(np.zeros((272, 640, 3), np.uint8))
    return Frame(stream, index, pts, time_base, picture, 0.0, file, epoch, time)


def line(*rows, latency=None, **settings):
    """Rows of (class, score, box)."""
    found = Detections(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
        LABELS,
    )
    return frame_line(frame(**settings), {"detections": found.to_dicts()}, latency)


@pytest.mark.parametrize(
    ("rows", "settings", "expected"),
    [
        pytest.param(
            [(0, 0.91, (1, 2, 30.126, 40)), (1, 0.333333, (0.1, 0.2, 0.3, 0.4))],
            {},
            '{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "width": 640, "height": 272, "detections": '
            '[{"label": "person", "class": 0, "score": 0.91, "box": [1.0, 2.0, 30.13, 40.0]}, '
            '{"label": "bicycle", "class": 1, "score": 0.3333, "box": [0.1, 0.2, 0.3, 0.4]}]}\n',
            id="detections",
        ),
        pytest.param(
            [],
            {"index": 0, "pts": 1001, "time_base": Fraction(1, 30000), "stream": "Straße"},
            '{"schema": 1, "stream": "Stra\\u00dfe", "frame": 0, "pts": 0.033367, "width": 640, "height": 272, '
            '"detections": []}\n',
            id="nothing found",
        ),
        pytest.param(
            [(0, 1.0, (-0.001, 0, 1, 1))],
            {"file": "a.jpg", "pts": -1},
            '{"schema": 1, "stream": "bikes", "frame": 17, "pts": -0.04, "file": "a.jpg", "width": 640, "height": 272, '
            '"detections": [{"label": "person", "class": 0, "score": 1.0, "box": [0.0, 0.0, 1.0, 1.0]}]}\n',
            id="a photo, and no minus zero",
        ),
        pytest.param(
            [],
            {"epoch": 3, "time": MORNING, "latency": 0.04126},
            '{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "epoch": 3, '
            '"time": "2026-11-23T06:45:00.123Z", "latency_ms": 41.3, "width": 640, "height": 272, "detections": []}\n',
            id="live",
        ),
        pytest.param(
            [],
            {"epoch": 0, "time": 1795416300.0},
            '{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "epoch": 0, '
            '"time": "2026-11-23T06:45:00.000Z", "width": 640, "height": 272, "detections": []}\n',
            id="live, of unknown latency",
        ),
        pytest.param(
            [],
            {"latency": 0.04},
            '{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "width": 640, "height": 272, '
            '"detections": []}\n',
            id="a file has no latency",
        ),
    ],
)
def test_a_line_is_these_bytes(rows, settings, expected):
    got = line(*rows, **settings)
    assert got.decode() == expected
    SCHEMA.validate(json.loads(got))


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (
            state_line("gate", "connecting", 0, MORNING),
            '{"schema": 1, "stream": "gate", "event": "state", "state": "connecting", "epoch": 0, '
            '"time": "2026-11-23T06:45:00.123Z"}\n',
        ),
        (
            state_line("gate", "retrying", 2, MORNING, "rtsp://host/path: nobody answers", 0.4649),
            '{"schema": 1, "stream": "gate", "event": "state", "state": "retrying", "epoch": 2, '
            '"time": "2026-11-23T06:45:00.123Z", "why": "rtsp://host/path: nobody answers", "retry_in": 0.5}\n',
        ),
        (
            dropped_line("gate", "late", 3, 1, MORNING),
            '{"schema": 1, "stream": "gate", "event": "dropped", "cause": "late", "frames": 3, "epoch": 1, '
            '"time": "2026-11-23T06:45:00.123Z"}\n',
        ),
    ],
)
def test_events_are_these_bytes(got, expected):
    assert got.decode() == expected
    SCHEMA.validate(json.loads(got))


def test_a_footer_is_these_bytes():
    tally = Tally("gate")
    tally.frames += 7
    tally.dropped["late"] += 2
    got = tally.footer(whole=False)
    assert got == (
        b'{"schema": 1, "footer": {"stream": "gate", "whole": false, "frames": 7, "dropped": {"late": 2}}}\n'
    )
    SCHEMA.validate(json.loads(got))


def test_the_events_of_a_stage_are_these_bytes():
    assert event_line("gate", "crowd_began", 2, MORNING, {"people": 9}, frame()).decode() == (
        '{"schema": 1, "stream": "gate", "event": "crowd_began", "epoch": 2, "time": "2026-11-23T06:45:00.123Z", '
        '"frame": 17, "pts": 0.68, "people": 9}\n'
    )
    assert event_line("a", "over", None, None, {}) == b'{"schema": 1, "stream": "a", "event": "over"}\n'
    with pytest.raises(ValueError, match="data called event, stream: expected other names"):
        event_line("a", "over", None, None, {"stream": 1, "event": 2, "frame": 3})
    with pytest.raises(ValueError, match="data called frame, pts: expected other names"):
        event_line("a", "over", None, None, {"pts": 1, "frame": 3}, frame())


@pytest.mark.parametrize("state", ["connecting", "live", "stalled", "retrying", "ended"])
def test_the_schema_knows_every_state(state):
    SCHEMA.validate(json.loads(state_line("gate", state, 0, MORNING)))


@pytest.mark.parametrize(
    "wrong",
    [
        json.loads(state_line("gate", "broken", 0, MORNING)),
        json.loads(state_line("gate", "live", -1, MORNING)),
        json.loads(dropped_line("gate", "late", 0, 1, MORNING)),
        json.loads(dropped_line("gate", "", 1, 1, MORNING)),
        json.loads(dropped_line("gate", "late", 1, 1, MORNING)) | {"time": "2026-11-23T06:45:00Z"},
        json.loads(dropped_line("gate", "late", 1, 1, MORNING)) | {"state": "live"},
        json.loads(line(epoch=0, time=MORNING)) | {"epoch": None},
        json.loads(line()) | {"epoch": 0},
        json.loads(line()) | {"latency_ms": 4},
    ],
)
def test_the_schema_refuses_wrong_events(wrong):
    assert not SCHEMA.is_valid(wrong)


def test_a_header_may_name_its_stream():
    SCHEMA.validate(json.loads(header_line(HEADER | {"stream": "bikes"})))
    assert not SCHEMA.is_valid(json.loads(header_line(HEADER | {"stream": ""})))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (MORNING, "2026-11-23T06:45:00.123Z"),
        (951782399.9999, "2000-02-28T23:59:59.999Z"),
    ],
)
def test_times_are_utc_wherever_we_are(time, text, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    tzset()
    try:
        assert timestamp(time) == text
    finally:
        monkeypatch.undo()
        tzset()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_has_not_are_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        line((0, value, (0, 0, 1, 1)))
    with pytest.raises(ValueError, match="JSON"):
        line((0, 0.5, (0, value, 1, 1)))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"frame": -1},
        {"width": 0},
        {"extra": 1},
        {"detections": [{"label": "person", "class": 0, "score": 1.5, "box": [0, 0, 1, 1]}]},
        {"detections": [{"label": "person", "class": 0, "score": 0.5, "box": [0, 0, 1]}]},
        {"header": HEADER},
    ],
)
def test_the_schema_refuses_what_is_wrong(change):
    event = json.loads(line((0, 0.5, (0, 0, 1, 1)))) | change
    assert not SCHEMA.is_valid(event)
    assert not SCHEMA.is_valid({"schema": 1, "header": {"source": "a"}})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_file_that_cannot_even_be_cut_says_what_came_first_and_is_given_up():
    writer = JsonlWriter(Path("/dev/full"), os.open("/dev/full", os.O_WRONLY))
    for _ in range(2):
        with pytest.raises(SinkError, match=r"disk full: /dev/full .*its last line may be cut"):
            writer.write(line())
        assert writer.is_broken
    writer.close()


def test_lines_of_several_streams_follow_what_is_there(tmp_path):
    path = tmp_path / "all.jsonl"
    for run in range(2):
        writer = appending(path, threading.Lock())
        for stream in ("a", "b"):
            writer.write(header_line(HEADER | {"stream": stream}))
            writer.write(state_line(stream, "live", run, MORNING))
        writer.close()
    events = [json.loads(text) for text in path.read_text().splitlines()]
    assert [event.get("epoch") for event in events] == [None, 0, None, 0, None, 1, None, 1]


def test_a_full_disk_leaves_what_others_wrote(small_disk):
    path = small_disk("16k") / "all.jsonl"
    path.write_bytes(b"precious\n")
    writer = appending(path, threading.Lock())
    with pytest.raises(SinkError, match="disk full"):
        for _ in range(200):
            writer.write(b"x" * 99 + b"\n")
    writer.close()
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b"precious"
    assert lines[-1] == b""
    assert set(lines[1:-1]) == {b"x" * 99}


WRITE_FOR_EVER = """
    import os, sys
    from watchline.streams.write.jsonl import STANDARD_OUTPUT, JsonlWriter, NobodyReads
    os.set_blocking(1, sys.argv[1] == "blocking")
    writer = JsonlWriter(STANDARD_OUTPUT, 1)
    try:
        for number in range(1_000_000):
            writer.write(b"%7d " % number + b"x" * 10_000 + b"\\n")
    except NobodyReads as error:
        sys.stderr.write(f"{isinstance(error, BrokenPipeError)} {error}")
"""


@pytest.mark.parametrize("how", ["blocking", "nonblocking"])
def test_a_pipe_gets_whole_lines_until_nobody_reads(how):
    command = [sys.executable, "-c", textwrap.dedent(WRITE_FOR_EVER), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        lines = [job.stdout.readline() for _ in range(50)]
        job.stdout.close()
        said = job.stderr.read().decode()
    assert lines == [b"%7d " % number + b"x" * 10_000 + b"\n" for number in range(50)]
    assert said == "True standard output: nobody reads it any more"
    assert job.returncode == 0


def test_threads_do_not_mix_their_lines():
    read, write = os.pipe()
    writer = JsonlWriter(STANDARD_OUTPUT, write)
    letters = [bytes([65 + number]) for number in range(4)]

    def pour(letter):
        for _ in range(50):
            writer.write(letter * 20_000 + b"\n")

    threads = [threading.Thread(target=pour, args=(letter,)) for letter in letters]
    for thread in threads:
        thread.start()
    with os.fdopen(read, "rb") as file:
        got = [file.readline() for _ in range(200)]
    for thread in threads:
        thread.join()
    writer.close()
    assert Counter(got) == {letter * 20_000 + b"\n": 50 for letter in letters}


def test_a_closed_pipe_stays_closed():
    read, write = os.pipe()
    os.close(read)
    writer = JsonlWriter(STANDARD_OUTPUT, write)
    with pytest.raises(NobodyReads) as first:
        writer.write(b"a\n")
    with pytest.raises(NobodyReads) as again:
        writer.write(b"b\n")
    writer.close()
    assert again.value is first.value
    assert isinstance(first.value, SinkError)
