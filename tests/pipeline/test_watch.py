"""Watching from Python: outputs of live streams and files in one run, and what becomes of them when disks are full."""

import json
import os
import queue
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import onnx
import pytest
from clips import decode, write_clip
from ledger_of import ledger_of
from models_onnx import tiny_detector
from pipelines import Numbers, Script, Step

from watchline import (
    DETECTIONS,
    Annotate,
    Annotator,
    Detections,
    Detector,
    Files,
    FileSource,
    Job,
    Jsonl,
    PacedSource,
    Sink,
    Watch,
)
from watchline.pipeline.admission import UNFINISHED
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.lanes import Lane
from watchline.pipeline.sinks import recording
from watchline.streams.write import remux


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
    watch = Watch(Job(sources, [detector, Annotator()], [Files(tmp_path / "out")]))
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
    watch = Watch(Job([camera, FileSource(clip, "file")], [detector, Annotator()], [Files(tmp_path / "out")]))
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
    watch = Watch(Job(sources, [detector], []))
    list(watch.run())
    errors = {outcome.stream: outcome.error for outcome in watch.outcomes}
    assert "bytes are missing" in errors["cut"]
    assert "is a text file: expected a video" in errors["junk"]
    assert all(account.balances for account in watch.report.streams.values())


def test_a_full_disk_costs_frames_and_not_the_stream(detector, small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "AGAIN", 0.3)
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
    watch = Watch(Job([camera], [detector], [Files(disk / "out", None), Jsonl(told)]))
    list(watch.run())
    [outcome] = watch.outcomes
    assert outcome.error is None
    dropped = watch.report.streams["gate"].dropped
    assert dropped["unwritten"] >= 5
    assert watch.report.streams["gate"].annotated > 50
    for events in ((disk / "out").glob("gate-*.jsonl"), [told]):
        [account] = ledger_of(events).values()
        assert account.dropped == dropped
        assert account.frames == watch.report.streams["gate"].annotated


# Streams come and go while it runs.

LOOK = Step("detector", lambda item: item.with_result(DETECTIONS, Detections.none(())))


@contextmanager
def running(*sources, out, stages=(LOOK,)):
    """Yields a watch that is kept, and its ends as they come; stops it."""
    watch = Watch(Job(sources, stages, [Files(out, None, overwrite=True)]), is_kept=True)
    ends = queue.Queue()

    def read():
        for progress in watch.run():
            if progress.ended:
                ends.put(progress)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield watch, ends
    finally:
        watch.stop()
        thread.join(10)
        assert not thread.is_alive(), "it does not end when it is stopped"


def camera(stream):
    return Script(stream, [[0.01, 1] * 1000])


def until(is_so, seconds=10):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def lines_in(out):
    return sum(path.read_text().count('"frame"') for path in out.glob("*.jsonl*"))


@pytest.mark.parametrize("work", [Annotate, Watch])
def test_of_many_short_files_few_are_open(work):
    """A frame each, which a sink holds for a while."""
    opened, written, most = [], [], []

    class Short(Numbers):
        @contextmanager
        def open(self):
            opened.append(self.stream)
            most.append(len(opened) - len(written))
            with super().open() as reader:
                yield reader

    @dataclass(frozen=True)
    class Slow(Sink):
        name = "slow"

        @contextmanager
        def open(self, opening):
            yield SimpleNamespace(take=lambda message, lines: time.sleep(0.002))
            written.append(opening.stream)

    sources = [Short(f"{n}", 1) for n in range(100)]
    job = work(Job(sources, [Step("any", lambda item: item)], [Slow()]))
    list(job.run())
    assert sorted(written) == sorted(source.stream for source in sources)
    assert {outcome.error for outcome in job.outcomes} == {None}
    assert max(most) <= UNFINISHED


def test_streams_come_and_go_while_it_runs(tmp_path):
    with running(camera("a"), out=tmp_path) as (watch, ends):
        until(lambda: lines_in(tmp_path) > 5)
        watch.add(camera("b"))
        watch.add(Numbers("file", 7))
        assert ends.get(timeout=10).stream == "file"
        until(lambda: any(path.name.startswith("b-") and '"frame"' in path.read_text() for path in tmp_path.iterdir()))
        watch.remove("a")
        assert (gone := ends.get(timeout=10)).stream == "a"
        assert gone.error is None
        states = {status.stream: status.state for status in watch.status()}
        assert states == {"a": "ended", "b": "live", "file": "ended"}
        until(lambda: watch.status()[1].fps > 0)
    assert ends.get_nowait().stream == "b"
    told = ledger_of(tmp_path.glob("*.jsonl"))
    for stream, account in watch.report.streams.items():
        assert account.balances
        assert (told[stream].frames, told[stream].dropped) == (account.annotated, account.dropped)
    assert told["a"].states == told["b"].states == ["connecting", "live", "ended"]
    assert told["file"].frames == 7
    assert [outcome.stream for outcome in watch.outcomes] == ["file", "a", "b"]


def test_a_name_that_is_taken_is_refused_and_may_come_again_after_its_end(tmp_path, monkeypatch):
    put = Lane.put

    def slowly(self, delivery):
        put(self, delivery)
        time.sleep(0.05)  # the lane is done before whoever fills it goes on

    monkeypatch.setattr(Lane, "put", slowly)
    with running(out=tmp_path) as (watch, ends):
        for frames in (3, 2, 4):  # the moment its end is told
            watch.add(Numbers("a", frames))
            with pytest.raises(ConfigError, match="there is a stream 'a' already"):
                watch.add(Numbers("a", 9))
            assert (ends.get(timeout=10).frames) == frames
        assert lines_in(tmp_path) == 4, "the last one's file has taken the place of those before"
        with pytest.raises(ConfigError, match="there is no stream 'a': expected one of none"):
            watch.remove("a")
    assert watch.report.streams["a"].annotated == 9


def test_a_name_is_taken_until_its_files_are_finished(tmp_path, monkeypatch):
    """The last frames of the one before are still on their way."""
    slowly = threading.Event()
    write = Files.open

    @contextmanager
    def held_up(self, opening):
        with write(self, opening) as writer:
            yield writer
            slowly.wait(10)

    monkeypatch.setattr(Files, "open", held_up)
    with running(out=tmp_path) as (watch, ends):
        watch.add(Numbers("a", 3))
        until(lambda: lines_in(tmp_path) == 3)
        time.sleep(0.2)
        with pytest.raises(ConfigError, match="there is a stream 'a' already"):
            watch.add(Numbers("a", 3))
        slowly.set()
        ends.get(timeout=10)
        watch.add(Numbers("a", 2))
        ends.get(timeout=10)
    assert watch.report.streams["a"].annotated == 5


def test_what_is_added_before_it_runs_is_part_of_it(tmp_path):
    watch = Watch(Job([Numbers("a", 2)], [LOOK], [Files(tmp_path, None)]))
    watch.add(Numbers("b", 3))
    for taken in "ab":
        with pytest.raises(ConfigError, match=f"there is a stream '{taken}' already"):
            watch.add(Numbers(taken, 1))
    assert {progress.stream: progress.frames for progress in watch.run() if progress.ended} == {"a": 2, "b": 3}
    for late in ("b", "c"):
        with pytest.raises(ConfigError, match=f"{late} cannot be added: the run is over"):
            watch.add(Numbers(late, 1))
    assert [status.stream for status in watch.status()] == ["a", "b"]


def test_a_stop_ends_it_while_there_is_no_stream(tmp_path):
    with running(out=tmp_path) as (watch, _):
        time.sleep(0.2)
        began = time.monotonic()
        watch.stop()
        until(lambda: hasattr(watch, "report"))
        assert time.monotonic() - began < 2
        with pytest.raises(ConfigError, match="the run is over, or is being stopped"):
            watch.add(camera("a"))


def test_a_stream_that_is_removed_while_everything_starts_does_not_run_on(tmp_path):
    opened = threading.Event()

    def wait(item):
        opened.wait(10)
        return LOOK.work(item)

    with running(camera("a"), Numbers("b", 100), out=tmp_path, stages=[Step("slow", wait)]) as (watch, ends):
        until(lambda: watch._runner._intake is not None)
        watch.remove("a")
        watch.remove("b")
        opened.set()
        assert {ends.get(timeout=10).stream, ends.get(timeout=10).stream} == {"a", "b"}


def test_videos_of_what_is_removed_play(detector, clip, tmp_path):
    source = PacedSource(FileSource(clip, "gate"), loop=True)
    watch = Watch(Job([source], [detector, Annotator(workers=1)], [Files(tmp_path / "out")]), is_kept=True)
    removed = False
    for progress in watch.run():
        if progress.frames >= 20 and not removed:
            watch.remove("gate")
            removed = True
        if progress.ended:
            watch.stop()
    [video] = (tmp_path / "out").glob("*.mp4")
    assert len(decode(video).pictures) == watch.report.streams["gate"].annotated >= 20


def test_a_budget_that_is_impossible_is_said_everywhere_and_its_frames_are_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("watchline.pipeline.budget.PROOF", 0.2)

    def slow(item):
        time.sleep(0.1)
        return item.with_result(DETECTIONS, Detections.none(()))

    camera = Script("a", [[0.02, 1] * 500])
    events = tmp_path / "events.jsonl"
    watch = Watch(Job([camera], [Step("detector", slow)], [Jsonl(events)], latency_budget=0.05))
    thread = threading.Thread(target=lambda: list(watch.run()))
    thread.start()
    until = time.monotonic() + 20
    try:
        while not (any("impossible" in status.why for status in watch.status()) and "impossible" in caplog.text):
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        watch.stop()
        thread.join()
    assert "A latency budget of 50ms is impossible: " in watch.report.verdict
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    written = [line for line in lines if "frame" in line]
    assert len(written) == watch.report.streams["a"].annotated > 2
    assert all(line["late"] for line in written)
    assert watch.report.streams["a"].balances
