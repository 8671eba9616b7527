"""The whole chain at work on a clip that does not end: its speed once it is steady, ages of frames, and what was lost.

Closed loop: the decoders wait for the chain, as for files; the figure is the frames per second. Open loop: frames come
at a rate, as from cameras, and what is too slow loses some; the figures are ages and losses.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watchline.engines.cores import cores
from watchline.measure.errors import DataRefused, MeasureError, NoFrames
from watchline.measure.speed.parts import Times, milliseconds
from watchline.measure.speed.source import Repeated
from watchline.measure.speed.tally import Tallied, Tally
from watchline.measure.speed.windows import AGREE, SECONDS, Windows
from watchline.pipeline.intake import FILES_AT_ONCE
from watchline.pipeline.job import Job
from watchline.pipeline.runner import LATENCY_BUDGET
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.stage import Stage
from watchline.pipeline.watch import Watch
from watchline.streams.write.mp4 import Mp4Sink

MOST = 60.0  # seconds until which windows may disagree
FILE_THREADS = 2  # of the decoder of a file; of a camera one


@dataclass(frozen=True, slots=True)
class Workload:
    """What a chain is given to do, and for how long.

    Attributes:
        clip: a video file.
        stages, video: of the chain; no video for events only.
        out: folder for what is written.
        streams: how many play the clip at once.
        rate: frames per second of each stream: open loop. None: closed loop.
        budget: seconds until a frame of an open loop is late.
        seconds: of a window, at least.
        most: seconds after which it ends, whether windows agree or not; from when the models are loaded.
    """

    clip: Path
    stages: Sequence[Stage]
    out: Path
    video: Mp4Sink | None
    streams: int = 1
    rate: float | None = None
    budget: float = LATENCY_BUDGET
    seconds: float = SECONDS
    most: float = MOST


@dataclass(frozen=True, slots=True)
class Chain:
    """How the chain ran, over the last windows.

    Attributes:
        fps: frames per second that were written, of all streams together.
        windows: frames per second of every window, from the first.
        is_settled: whether the last windows agree.
        age_ms: milliseconds from the decoder until a frame was written, p50, p95 and p99.
        dropped: frames by cause.
        offered: frames per second that came, written or dropped.
        cpu_ms: processor time per frame that was written.
        busy: share of the cores' time that the process used, 0..1.
        verdict: what the run's report says of the stage that limits.
    """

    fps: float
    windows: tuple[float, ...]
    is_settled: bool
    age_ms: Times
    dropped: Mapping[str, int]
    offered: float
    cpu_ms: float
    busy: float
    verdict: str


def chain(load: Workload) -> Chain:
    """Run the chain until its last windows agree.

    Raises:
        DataRefused: more streams than are read at once in a closed loop.
        NoFrames: fewer than two frames were written until then.
        MeasureError: a stream failed.
    """
    if load.rate is None and load.streams > FILES_AT_ONCE:
        raise DataRefused(
            f"{load.streams} streams in a closed loop: files are read {FILES_AT_ONCE} at once; name a rate, as of "
            "cameras"
        )
    threads = 1 if load.rate else FILE_THREADS
    sources = [Repeated(load.clip, f"stream{n}", load.rate, threads) for n in range(load.streams)]
    tally = Tally()
    sinks = [Files(load.out, load.video, overwrite=True), Tallied(tally)]
    work = Watch(Job(sources, load.stages, sinks, load.budget))
    windows = Windows(load.seconds)
    spent = _steady(work, tally, windows, load.most)
    if wrong := [outcome.error for outcome in work.outcomes if outcome.error]:
        raise MeasureError(wrong[0])
    if len(windows.edges) < 2:
        raise NoFrames(
            f"{load.clip}: {len(tally.written) or 'no'} frame was written within {load.most:g} s; allow more with "
            "--most, or see `watchline annotate` for what is wrong"
        )
    (since, before), (until, frames) = windows.last
    dropped = tally.drops(since, until)
    cpu = spent[-1] - spent[-AGREE - 1 :][0]
    return Chain(
        fps=windows.fps,
        windows=tuple(windows.rates),
        is_settled=windows.are_settled,
        age_ms=milliseconds(tally.ages(since, until)),
        dropped=dropped,
        offered=(frames - before + sum(dropped.values())) / (until - since),
        cpu_ms=cpu / (frames - before) * 1e3,
        busy=cpu / (until - since) / cores(),
        verdict=work.report.verdict,
    )


def _steady(work: Watch, tally: Tally, windows: Windows, most: float) -> list[float]:
    """Let it work until the windows agree. Returns the process's processor time at each of their edges, in seconds."""
    spent: list[float] = []
    is_over = False
    with _stopped_after(most, work, tally):  # progress may not come
        for progress in work.run():
            if is_over or progress.ended or not progress.frames:
                continue
            if windows.at(time.monotonic(), len(tally.written)):
                spent.append(time.process_time())
            is_over = windows.are_settled
            if is_over:
                work.stop()
    if len(windows.edges) == 1 and len(tally.written) > windows.edges[0][1]:  # too slow for one window
        windows.edges.append((tally.written[-1][0], len(tally.written)))
        spent.append(time.process_time())
    return spent


@contextmanager
def _stopped_after(seconds: float, work: Watch, tally: Tally) -> Iterator[None]:
    """Stop the work so long after its models are loaded, if it is not over."""
    is_over = threading.Event()

    def wait() -> None:
        tally.has_begun.wait()
        if not is_over.wait(seconds):
            work.stop()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        tally.has_begun.set()
        thread.join()
