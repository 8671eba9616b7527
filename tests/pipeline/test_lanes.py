"""Each stream is written in a thread of its own: a sink that is slow on one costs the others nothing."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from clips import decode, write_clip
from ledger_of import ledger_of
from pipelines import Numbers, Script, Step

from watchline import (
    DETECTIONS,
    Annotate,
    Annotator,
    Detections,
    Files,
    FileSource,
    Item,
    Job,
    Jsonl,
    Message,
    Opening,
    PacedSource,
    Sink,
    Watch,
    Writer,
)
from watchline.pipeline.causes import slow
from watchline.streams.write.mp4 import Mp4Sink, Mp4Writer

SECONDS, RATE = 2.4, 10  # of each run, and pictures a second of each stream


@dataclass(frozen=True)
class Busy(Sink):
    """Takes its time over the frames of one stream; remembers when and where it worked."""

    slow_on: str = ""
    seconds: float = 0.0
    name: str = "busy"
    must: bool = True
    spans: list[tuple[str, float, float]] = field(default_factory=list)  # thread, from, to

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        yield BusyWriter(self, self.seconds if opening.stream == self.slow_on else 0.0)


@dataclass
class BusyWriter:
    sink: Busy
    seconds: float

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        began = time.monotonic()
        if isinstance(message, Item):
            time.sleep(self.seconds)
        self.sink.spans.append((threading.current_thread().name, began, time.monotonic()))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of small pictures."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=RATE, rate=RATE)


def watched(clip: Path, told: Path, busy: Busy) -> Watch:
    """Four looped clips at their own speed, for some seconds."""
    nothing = Step("detector", lambda item: item.with_result(DETECTIONS, Detections.none(())))
    sources = [PacedSource(FileSource(clip, name), loop=True) for name in "abcd"]
    watch = Watch(Job(sources, [nothing], [busy, Jsonl(told)]))
    threading.Timer(SECONDS + 2, watch.stop).start()
    list(watch.run())
    return watch


def kept(told: Path) -> Counter[str]:
    """How many frames of each stream have a line, from half a second after its first one: then all is under way."""
    counts, begins = Counter[str](), dict[str, float]()
    for line in map(json.loads, told.read_text().splitlines()):
        if "frame" in line:
            arrived = datetime.fromisoformat(line["time"]).timestamp()
            age = arrived - begins.setdefault(line["stream"], arrived + 0.5)
            counts[line["stream"]] += 0 <= age < SECONDS
    return counts


def test_a_sink_that_is_slow_on_one_stream_costs_the_others_nothing(clip: Path, tmp_path: Path) -> None:
    for _ in range(8):  # other programs may take the cores for a while, in one of the runs only
        for file in (tmp_path / "before.jsonl", tmp_path / "slow.jsonl"):
            file.unlink(missing_ok=True)
        watched(clip, tmp_path / "before.jsonl", Busy())
        watch = watched(clip, tmp_path / "slow.jsonl", Busy("b", 0.2))
        before, after = kept(tmp_path / "before.jsonl"), kept(tmp_path / "slow.jsonl")
        if sum(after[stream] for stream in "acd") >= 0.95 * sum(before[stream] for stream in "acd") > 0:
            break
    else:
        pytest.fail(f"the others lost frames: {before}, {after}")
    assert after["b"] <= SECONDS / 0.2 + 3
    told = ledger_of([tmp_path / "slow.jsonl"])
    for stream, account in watch.report.streams.items():
        assert account.balances
        assert account.in_flight == 0
        assert (told[stream].frames, told[stream].dropped) == (account.annotated, account.dropped)
    lost = {stream: account.dropped.get(slow("busy"), 0) for stream, account in watch.report.streams.items()}
    assert lost["b"] > max(lost[stream] for stream in "acd")  # which lose some while the machine is busy
    assert {outcome.error for outcome in watch.outcomes} == {None}


def test_the_others_are_written_while_a_sink_holds_a_frame_of_one_stream(clip: Path) -> None:
    counts, seen = Counter[str](), threading.Condition()
    counts_meanwhile: Counter[str] | None = None

    class Holding(BusyWriter):
        """Holds the first frame of `b` until each other stream has had two seconds more."""

        def take(self, message: Message, lines: Sequence[bytes]) -> None:
            nonlocal counts_meanwhile
            if not isinstance(message, Item):
                return
            with seen:
                counts[message.stream] += 1
                seen.notify_all()
                if message.stream == "b" and counts_meanwhile is None:
                    before = counts.copy()
                    seen.wait_for(lambda: all(counts[each] - before[each] >= 2 * RATE for each in "acd"), 60)
                    counts_meanwhile = counts - before

    class Holds(Busy):
        @contextmanager
        def open(self, opening: Opening) -> Iterator[Writer]:
            yield Holding(self, 0)

    watch = Watch(Job([PacedSource(FileSource(clip, name), loop=True) for name in "abcd"], [], [Holds()]))
    for _ in watch.run():
        if counts_meanwhile is not None:
            watch.stop()
    assert counts_meanwhile is not None
    assert all(counts_meanwhile[each] >= 2 * RATE for each in "acd")
    assert counts_meanwhile["b"] == 0
    assert watch.report.streams["b"].dropped[slow("busy")] > 0


def test_the_frames_of_a_slow_sink_are_new_ones(tmp_path: Path) -> None:
    """It may be slow, but what it writes is no older than what it took for the frames before."""
    ages = []

    class Ages(BusyWriter):
        def take(self, message: Message, lines: Sequence[bytes]) -> None:
            if isinstance(message, Item):
                ages.append(time.monotonic() - message.frame.arrival)
            super().take(message, lines)

    class Old(Busy):
        @contextmanager
        def open(self, opening: Opening) -> Iterator[Writer]:
            yield Ages(self, 0.1)

    watch = Watch(Job([Script("a", [[0.02, 1] * 80], ends=True)], [Step("any", lambda item: item)], [Old()]))
    list(watch.run())
    assert len(ages) > 10
    assert max(ages) < 0.5
    assert np.median(ages) < 0.3
    account = watch.report.streams["a"]
    assert account.dropped.keys() == {slow("busy")}
    assert account.annotated + account.dropped[slow("busy")] == 80


def test_a_file_waits_for_its_sink_and_its_decoder_with_it() -> None:
    decoded: list[int] = []
    ahead: list[int] = []

    def look(item: Item) -> Item:
        decoded.append(item.frame.index)
        return item

    work = Annotate(Job([Numbers("a", 60)], [Step("any", look)], [Busy("a", 0.01)]))
    for progress in work.run():
        ahead.append(len(decoded) - progress.frames)
    assert work.report.streams["a"].annotated == 60
    assert max(ahead) < 15


@pytest.mark.parametrize("work", [Annotate, Watch])
def test_two_streams_are_encoded_at_the_same_time(
    work: type[Annotate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they run together; files of a batch come one after another."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    clips = [write_clip(tmp_path / f"{n}.mp4", 12, (320, 240), draw=lambda _: noise) for n in "ab"]
    spans: list[tuple[str, float, float]] = []
    write = Mp4Writer.write

    def timed(self: Mp4Writer, *args: object) -> None:
        began = time.monotonic()
        write(self, *args)
        spans.append((threading.current_thread().name, began, time.monotonic()))

    monkeypatch.setattr(Mp4Writer, "write", timed)
    sinks = [Files(tmp_path / "out", Mp4Sink(preset="veryslow", threads=1))]
    list(work(Job([FileSource(clip) for clip in clips], [Annotator()], sinks)).run())
    assert {name for name, _, _ in spans} == {"lane-a", "lane-b"}
    at_once = [
        (one, two) for one, two in combinations(spans, 2) if one[0] != two[0] and one[1] < two[2] and two[1] < one[2]
    ]
    assert bool(at_once) == (work is Watch)
    for n in "ab":
        assert len(decode(tmp_path / "out" / f"{n}.mp4").pictures) == 12


@pytest.mark.parametrize("work", [Annotate, Watch])
def test_who_does_not_ask_for_the_progress_holds_nothing_up(work: type[Annotate], tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{n}.mp4", 40) for n in "ab"]
    job = work(Job([FileSource(clip) for clip in clips], [Annotator()], [Files(tmp_path / "out")]))
    run = job.run()
    next(run)
    end = time.monotonic() + 20
    while len(job.outcomes) < 2:
        assert time.monotonic() < end, "it waits for whoever reads"
        time.sleep(0.02)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jsonl", "a.mp4", "b.jsonl", "b.mp4"]
    ends = [(progress.stream, progress.frames) for progress in run if progress.ended]
    assert sorted(ends) == [("a", 40), ("b", 40)]
    assert job.report.frames == 80
