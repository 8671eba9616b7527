"""Watching from Python: outputs of live streams and files in one run, and what becomes of them when disks are full."""

import os
import threading
import time
from contextlib import suppress
from itertools import pairwise

import onnx
import pytest
from clips import write_clip
from ledger_of import ledger_of
from models_onnx import tiny_detector
from pipelines import Script

from watchline import Annotator, Detector, FileSource, Mp4Sink, PacedSource, Watch
from watchline.pipeline import outputs
from watchline.streams.write import remux
from watchline.streams.write.jsonl import JsonlSink


@pytest.fixture
def detector(tmp_path):
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return Detector(model=str(tmp_path / "tiny.onnx"), imgsz=(64, 48), workers=1)


@pytest.fixture
def clip(tmp_path):
    """Four seconds."""
    return write_clip(tmp_path / "street.mp4", frames=100, rate=25)


def test_files_and_live_streams_have_outputs_of_their_own(detector, clip, tmp_path):
    sources = [PacedSource(FileSource(clip, "gate")), FileSource(clip, "file")]
    watch = Watch(sources, detector, Annotator(), tmp_path / "out", Mp4Sink())
    list(watch.run())
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[:2] == ["file.jsonl", "file.mp4"]
    assert all(name.startswith("gate-2") for name in names[2:])
    assert {(outcome.stream, outcome.error, outcome.interrupted) for outcome in watch.outcomes} == {
        ("gate", None, False),
        ("file", None, False),
    }
    [account] = ledger_of((tmp_path / "out").glob("gate-*.jsonl")).values()
    assert account.frames + sum(account.dropped.values()) == 100
    assert {status.state for status in watch.status()} == {"ended"}


def test_the_end_of_a_file_holds_up_no_camera(detector, clip, tmp_path, monkeypatch):
    """To finish a long video takes time, here two seconds."""
    whole = remux.remux

    def slowly(*args, **kwargs):
        time.sleep(2)
        return whole(*args, **kwargs)

    monkeypatch.setattr("watchline.streams.write.mp4.remux", slowly)
    camera = Script("gate", [[0.02, 1] * 150], ends=True)
    watch = Watch([camera, FileSource(clip, "file")], detector, Annotator(), tmp_path / "out", Mp4Sink())
    moments = [time.monotonic() for progress in watch.run() if progress.stream == "gate" and not progress.ended]
    assert len(moments) > 100
    assert max(b - a for a, b in pairwise(moments)) < 1
    assert all(outcome.error is None for outcome in watch.outcomes)
    assert (tmp_path / "out" / "file.mp4").exists()


def test_a_file_that_breaks_while_it_is_played_fails_once(detector, tmp_path):
    clip = write_clip(tmp_path / "street.mkv", frames=50, rate=25)
    os.truncate(clip, clip.stat().st_size * 2 // 3)
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 1000)
    sources = [PacedSource(FileSource(clip, "cut")), PacedSource(FileSource(tmp_path / "junk.mp4", "junk"))]
    watch = Watch(sources, detector, Annotator(), None, None)
    list(watch.run())
    errors = {outcome.stream: outcome.error for outcome in watch.outcomes}
    assert "bytes are missing" in errors["cut"]
    assert "no video" in errors["junk"]
    assert all(account.balances for account in watch.report.streams.values())


def test_a_full_disk_costs_frames_and_not_the_stream(detector, small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "AGAIN", 0.3)
    disk = small_disk("512k")
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):  # all of it
        while True:
            file.write(b"x" * 4096)
    os.truncate(hog, hog.stat().st_size - 16 * 1024)
    camera = Script("gate", [[0.03, 1] * 250], ends=True)
    told = tmp_path / "all.jsonl"

    def free_it_when_that_is_told() -> None:
        while not (told.exists() and '"unwritten"' in told.read_text()):
            time.sleep(0.1)
        hog.unlink()

    threading.Thread(target=free_it_when_that_is_told, daemon=True).start()
    shared = JsonlSink().append(told)
    watch = Watch([camera], detector, Annotator(), disk / "out", None, events=shared)
    list(watch.run())
    shared.close()
    [outcome] = watch.outcomes
    assert outcome.error is None
    dropped = watch.report.streams["gate"].dropped
    assert dropped["unwritten"] > 10
    assert watch.report.streams["gate"].annotated > 50
    for events in ((disk / "out").glob("gate-*.jsonl"), [told]):
        [account] = ledger_of(events).values()
        assert account.dropped == dropped
        assert account.frames == watch.report.streams["gate"].annotated
