"""Files of events are found, and what cannot be read is named with its file and line."""

import pytest
from saved_events import found, parts, write_events

from watchline.streams.errors import EventsNotFound, EventsRefused
from watchline.streams.events.lines import files_in, lines_in


def test_files_are_found_below_a_folder_in_their_order(tmp_path):
    for name in ("b/x.jsonl", "gate-2.jsonl", "gate.jsonl", ".hidden/x.jsonl", ".a.jsonl", "a.jsonl.part", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(file.relative_to(tmp_path)) for file in files_in(tmp_path)] == [
        "b/x.jsonl",
        "gate.jsonl",
        "gate-2.jsonl",
    ]
    assert files_in(tmp_path / "a.txt") == [tmp_path / "a.txt"], "a file that is named is taken, whatever it is called"


def test_without_events_it_is_said_and_also_that_a_run_is_under_way(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file or folder; expected events"):
        files_in(tmp_path / "nowhere")
    with pytest.raises(
        EventsNotFound, match=r"holds no \.jsonl files; expected events, as `watchline annotate` writes them$"
    ):
        files_in(tmp_path)
    (tmp_path / "a.jsonl.part").touch()
    with pytest.raises(
        EventsNotFound, match=r"a\.jsonl\.part is of a run that writes it or was killed: wait, or run it"
    ):
        files_in(tmp_path)


def test_a_torn_line_is_named_and_that_the_run_was_killed(tmp_path):
    file = write_events(tmp_path / "a.jsonl", "a", [parts(found())] * 3)
    whole = file.read_bytes()
    file.write_bytes(whole[:-150])
    with pytest.raises(EventsRefused, match=r"a\.jsonl: line 4 is no JSON; .*it breaks off, so its run was killed or"):
        list(lines_in(file))
    file.write_bytes(whole.replace(b'"frame": 1', b'"frame": 1:'))
    with pytest.raises(
        EventsRefused, match=r"a\.jsonl: line 3 is no JSON; expected events, as `watchline annotate` writes"
    ):
        list(lines_in(file))


def test_events_of_another_schema_are_refused(tmp_path):
    file = write_events(tmp_path / "a.jsonl", "a", [])
    file.write_bytes(file.read_bytes().replace(b'"schema": 1', b'"schema": 2', 1))
    with pytest.raises(EventsRefused, match="line 1 is of schema 2: expected 1; read it with the version"):
        list(lines_in(file))


def test_a_line_without_end_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("watchline.streams.events.lines.LONGEST", 1000)
    (tmp_path / "a.jsonl").write_bytes(b'{"schema": 1, "x": "' + b"a" * 5000 + b'"}\n')
    with pytest.raises(EventsRefused, match="line 1 is no JSON"):
        list(lines_in(tmp_path / "a.jsonl"))
