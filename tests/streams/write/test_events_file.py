"""Files of events: beside until they are closed, and with a footer that says whether they are whole."""

import json
import subprocess
import sys
import textwrap

import pytest

from watchline.files import part_of
from watchline.streams.errors import SinkError
from watchline.streams.write.events_file import EventsFile, finish_events
from watchline.streams.write.jsonl import header_line

HEADER = {"source": "a.mp4", "version": "0.1.0", "model": {}, "config": {}}
LINE = b'{"frame": 0}\n'


def footer(path):
    *_, last = path.read_text().splitlines()
    return json.loads(last).get("footer")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_is_there_when_it_is_closed(tmp_path, whole):
    path = tmp_path / "a.jsonl"
    path.write_text("of an earlier run")
    events = EventsFile(path, "a", HEADER)
    for count in range(1, 4):
        events.write(LINE)
        assert part_of(path).read_bytes() == header_line(HEADER) + LINE * count  # there at once
    events.tally.frames = 3
    assert path.read_text() == "of an earlier run"
    events.close(whole)
    events.close(not whole)
    assert names(tmp_path) == ["a.jsonl"]
    assert path.read_bytes().startswith(header_line(HEADER) + LINE * 3)
    assert footer(path) == {"stream": "a", "whole": whole, "frames": 3, "dropped": {}}


def test_a_file_with_nothing_in_it_is_kept_only_if_wanted(tmp_path):
    for name, keep in (("a", True), ("b", False)):
        EventsFile(tmp_path / f"{name}.jsonl", name, HEADER).close(True, keep_empty=keep)
    assert names(tmp_path) == ["a.jsonl"]


def test_two_cannot_write_one_file(tmp_path):
    path = tmp_path / "a.jsonl"
    first = EventsFile(path, "a", HEADER)
    first.write(LINE)
    with pytest.raises(SinkError, match=r"a.jsonl.part is being written by another process; choose another folder"):
        EventsFile(path, "a", HEADER)
    assert not finish_events(path)
    first.close(True)
    assert path.read_bytes().startswith(header_line(HEADER) + LINE)


def test_a_full_disk_has_room_for_the_footer(small_disk):
    folder = small_disk("128k")
    events = EventsFile(folder / "a.jsonl", "a", HEADER)
    line = json.dumps({"frame": 1, "more": "x" * 500}).encode() + b"\n"
    with pytest.raises(SinkError, match=r"disk full: .*a.jsonl cannot be written any further"):
        while True:
            events.make_room(len(line))
            events.write(line)
            events.tally.frames += 1
    written = events.tally.frames
    assert written > 100
    events.close(False)
    assert names(folder) == ["a.jsonl"]
    assert (folder / "a.jsonl").read_bytes().count(line) == written
    assert footer(folder / "a.jsonl") == {"stream": "a", "whole": False, "frames": written, "dropped": {}}


def test_no_room_for_a_header_leaves_no_file(small_disk):
    folder = small_disk("64k")
    (folder / "filler").write_bytes(bytes(2**16))
    with pytest.raises(SinkError, match="disk full"):
        EventsFile(folder / "a.jsonl", "a", HEADER)
    assert names(folder) == ["filler"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from watchline.streams.write.events_file import EventsFile
    events = EventsFile(Path(sys.argv[1]), "a", {"source": "", "version": "", "model": {}, "config": {}})
    for index in range(100):
        events.write(b'{"frame": %d}\\n' % index)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_lines_and_no_footer(tmp_path):
    path = tmp_path / "a.jsonl"
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), path], check=False)
    assert names(tmp_path) == ["a.jsonl.part"]
    with part_of(path).open("ab") as file:
        file.write(b'{"frame": 1')  # a power cut
    assert finish_events(path)
    assert names(tmp_path) == ["a.jsonl"]
    assert [json.loads(text).get("frame") for text in path.read_text().splitlines()] == [None, *range(100)]
    assert footer(path) is None


def test_events_without_a_line_are_removed(tmp_path):
    part_of(tmp_path / "a.jsonl").write_bytes(b'{"sch')
    assert not finish_events(tmp_path / "a.jsonl")
    assert names(tmp_path) == []


def test_a_folder_that_may_not_be_written(public, as_nobody):
    (public / "mine").mkdir(mode=0o755)
    with as_nobody(), pytest.raises(SinkError, match=r"a.jsonl may not be written: Permission denied"):
        EventsFile(public / "mine" / "a.jsonl", "a", HEADER)
