"""Formats appear complete or not at all, replace only what they are asked to, and leave nothing behind."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from saved_events import found, parts, write_events

from watchline.files import unshared
from watchline.streams.errors import EventsRefused, SinkError
from watchline.streams.events.lines import files_in
from watchline.streams.formats import known
from watchline.streams.formats.convert import convert
from watchline.streams.formats.known import FORMATS

CAR = (1, 0.9, 1, 2, 30, 40.5)


@pytest.fixture
def out(tmp_path):
    write_events(tmp_path / "clip.jsonl", "clip", [parts(found(CAR))] * 3)
    return tmp_path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def done(out, *formats, overwrite=False, to=None):
    return list(convert(files_in(out), formats, to or out, overwrite))


def test_all_of_them_into_a_folder_of_their_own(out, tmp_path):
    done(out, *FORMATS, to=tmp_path / "new")
    here = {name.partition("/")[0] for name in names(tmp_path / "new")}
    assert here == {"detections.csv", "detections.parquet", *(set(FORMATS) - {"csv", "parquet"})}
    for name in FORMATS:
        assert [place for place in FORMATS[name].places if not (tmp_path / "new" / place).exists()] == []


def test_what_is_there_is_replaced_as_a_whole_and_only_if_it_is_said(out):
    done(out, "yolo", "csv")
    before = names(out)
    assert sum(name.endswith(".txt") for name in before) == 3
    (out / "yolo" / "images").mkdir()
    (out / "yolo" / "images" / "mine.jpg").touch()
    with pytest.raises(SinkError, match=r"yolo/labels is there already: --overwrite replaces it"):
        done(out, "yolo", "csv")
    write_events(out / "clip.jsonl", "clip", [parts(found())])
    done(out, "csv", "yolo", overwrite=True)
    assert [name for name in names(out) if name.endswith(".txt")] == ["yolo/labels/clip/000000.txt"]
    assert (out / "yolo" / "images" / "mine.jpg").exists(), "pictures that a user has put there are gone"
    assert (out / "detections.csv").read_text().count("\n") == 1


def test_a_folder_that_holds_something_else_is_never_replaced(out):
    (out / "mot").mkdir()
    (out / "mot" / "clip.mp4").touch()
    with pytest.raises(SinkError, match=r"mot would be replaced, and holds clip\.mp4: --out names another folder"):
        done(out, "mot", overwrite=True)
    (out / "detections.csv").mkdir()
    with pytest.raises(SinkError, match=r"detections\.csv is a folder"):
        done(out, "csv", overwrite=True)
    assert names(out) == ["clip.jsonl", "mot/clip.mp4"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_leaves_what_was_there(out, name, monkeypatch):
    done(out, name)
    before = {file: (out / file).read_bytes() for file in names(out)}
    with (out / "clip.jsonl").open("ab") as file:
        file.write(b'{"schema": 1, "stream')
    with pytest.raises(EventsRefused, match="line 6 is no JSON"):
        done(out, name, overwrite=True)
    before["clip.jsonl"] += b'{"schema": 1, "stream'
    assert {file: (out / file).read_bytes() for file in names(out)} == before

    def full(survey, folder):
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    write_events(out / "clip.jsonl", "clip", [parts(found(CAR))])
    monkeypatch.setattr(known, "FORMATS", {name: replace(FORMATS[name], write=full)})
    monkeypatch.setattr("watchline.streams.formats.convert.FORMATS", known.FORMATS)
    with pytest.raises(SinkError, match="disk full"):
        done(out, name, overwrite=True)
    assert names(out) == sorted(before)


KILLED = """
import os, sys
from pathlib import Path
from watchline.streams.events.lines import files_in
from watchline.streams.formats import yolo
from watchline.streams.formats.convert import convert
rows = yolo._row
yolo._row = lambda found, frame, numbers: os._exit(9) if frame.index == 2 else rows(found, frame, numbers)
list(convert(files_in(Path(sys.argv[1])), ["yolo"], Path(sys.argv[1]), overwrite=True))
"""


def test_a_kill_leaves_nothing_that_is_half_and_the_next_one_clears_up(out):
    assert subprocess.run([sys.executable, "-c", KILLED, str(out)], env=os.environ).returncode == 9
    assert not (out / "yolo").exists()
    assert any(name.startswith(".yolo.part/") for name in names(out))
    done(out, "yolo")
    assert names(out) == ["clip.jsonl", "yolo/data.yaml", *(f"yolo/labels/clip/00000{n}.txt" for n in range(3))]


def test_two_processes_do_not_write_one_format(out):
    with unshared(out / ".mot.lock"), pytest.raises(SinkError, match="another process writes mot there"):
        done(out, "mot")
    assert not (out / "mot").exists()


def test_what_cannot_be_is_refused_before_anything_is_read(out):
    (out / "clip.jsonl").write_text("no event")
    with pytest.raises(EventsRefused, match=r"unknown format 'cocoo': expected one of .*; did you mean 'coco'"):
        done(out, "csv", "cocoo")
    (out / "coco").touch()
    with pytest.raises(EventsRefused, match="line 1 is no JSON"):
        done(out, "coco")
    write_events(out / "clip.jsonl", "clip", [parts(found(CAR))])
    with pytest.raises(SinkError, match="a file is where a folder should be"):
        done(out, "coco")


def test_photos_alone_have_no_tracks(tmp_path):
    write_events(tmp_path / "a.jsonl", "a", [parts(found(CAR))], photos=["a.jpg"])
    with pytest.raises(EventsRefused, match="a is of photos: expected a video or a camera"):
        done(tmp_path, "mot")
    assert names(tmp_path) == ["a.jsonl"]
