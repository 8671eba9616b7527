import json
import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from watchline.streams.errors import SinkError
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.jsonl import JsonlSink, header_line, line_of

ROOT = Path(__file__).parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "events.schema.json").read_text()))
HEADER = {"source": "bikes.mp4", "version": "0.1.0", "model": {"name": "yolov2"}, "config": {"conf": 0.25}}
LABELS = ("person", "bicycle")


def frame(index=17, pts=17, time_base=Fraction(1, 25), file=None, stream="bikes"):
    picture = ArrayPicture(np.zeros((272, 640, 3), np.uint8))
    return Frame(stream, index, pts, time_base, picture, 0.0, file)


def line(*rows, **settings):
    """Rows of (class, score, box)."""
    return line_of(
        frame(**settings),
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
        LABELS,
    )


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
    ],
)
def test_a_line_is_these_bytes(rows, settings, expected):
    got = line(*rows, **settings)
    assert got.decode() == expected
    SCHEMA.validate(json.loads(got))


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


def test_a_file_is_a_header_and_lines(tmp_path):
    path = tmp_path / "new" / "folder" / "a.jsonl"
    for _ in range(2):  # the second replaces the first
        with JsonlSink().open(path, HEADER) as jsonl:
            for index in range(3):
                jsonl.write(line((0, 0.5, (0, 0, 1, 1)), index=index))
                assert path.read_bytes().endswith(b"\n")  # there at once, and whole
    assert path.read_bytes() == header_line(HEADER) + b"".join(
        line((0, 0.5, (0, 0, 1, 1)), index=index) for index in range(3)
    )
    for text in path.read_text().splitlines():
        SCHEMA.validate(json.loads(text))


def test_a_full_disk_leaves_whole_lines(small_disk):
    path = small_disk("16k") / "a.jsonl"
    lines = [line(*[(0, 0.5, (0, 0, 1, i))] * 7, index=i) for i in range(200)]
    with JsonlSink().open(path, HEADER) as jsonl:
        with pytest.raises(SinkError, match=r"disk full: .*a.jsonl cannot be written any further") as first:
            list(map(jsonl.write, lines))
        with pytest.raises(SinkError) as again:
            jsonl.write(lines[0])
    assert again.value is first.value
    assert isinstance(first.value, OSError)
    written = len(path.read_bytes().splitlines()) - 1
    assert 10 < written < 200
    assert path.read_bytes() == header_line(HEADER) + b"".join(lines[:written])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_file_that_cannot_even_be_cut_says_what_came_first():
    with (
        pytest.raises(SinkError, match=r"disk full: /dev/full .*its last line may be cut"),
        JsonlSink().open(Path("/dev/full"), HEADER),
    ):
        pass


def test_a_killed_process_leaves_whole_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    program = """
        import os, signal, sys
        from pathlib import Path
        from watchline.streams.jsonl import JsonlSink
        with JsonlSink().open(Path(sys.argv[1]), {"source": "", "version": "", "model": {}, "config": {}}) as jsonl:
            for index in range(100):
                jsonl.write(b'{"frame": %d}\\n' % index)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), path], check=False)
    assert [json.loads(text)["frame"] for text in path.read_text().splitlines()[1:]] == list(range(100))


def test_an_input_is_never_overwritten(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text("precious")
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    for path in (source, tmp_path / "link", tmp_path / "hard", tmp_path / "x" / ".." / "a.jsonl"):
        with pytest.raises(SinkError, match="is an input"), JsonlSink().open(path, HEADER, [source]):
            pass
    assert source.read_text() == "precious"


def test_a_folder_that_may_not_be_written(public, as_nobody):
    (public / "mine").mkdir(mode=0o755)
    with (
        as_nobody(),
        pytest.raises(SinkError, match=r"a.jsonl may not be written: Permission denied"),
        JsonlSink().open(public / "mine" / "a.jsonl", HEADER),
    ):
        pass
    with (
        as_nobody(),
        pytest.raises(SinkError, match="new may not be written"),
        JsonlSink().open(public / "mine" / "new" / "a.jsonl", HEADER),
    ):
        pass


def test_paths_that_cannot_be_files(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SinkError, match="is a folder"), JsonlSink().open(tmp_path / "folder", HEADER):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="a file is where a folder"), JsonlSink().open(tmp_path / "file" / "a", HEADER):
        pass
