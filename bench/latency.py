"""How old is a camera's frame when it is annotated, and how soon is a camera back? Measured with an RTSP server.

    python bench/latency.py [--seconds 60] [--minutes-slow 10] [--rounds 3]

The server (GStreamer, tests/rtsp_server.py) draws its number and the time into each picture, and sends 720p at 30
frames/s, H.264 over TCP, by loopback. So an age includes everything: drawing, encoding, sending, and all of Watchline.
A part whose length is 0 is left out:

  live    the age of annotated frames after detector and annotator, with and without the detector's own time, and where
          the time is spent; medians over the rounds. One frame's time (33 ms) of "drawn to arrived" is FFmpeg's, which
          holds each picture until the next one begins, to know that it is complete
  slow    a detector that is five times too slow: the age of each minute's frames, and whether the frames that the
      server
          drew and nobody annotated are exactly those in the `dropped` events and in the ledger
  start   `watchline run`: from its start to its first frame; and from the moment at which a killed server listens again
          to the first frame, next to the wait that was announced last
  dead    the CPU that `watchline run` uses while nothing listens at the address of its only camera
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pytest
from marks import COUNTER_BITS, read_mark
from rtsp import RtspServer, need_rtsp_server

from watchline.pipeline.camera import STEADY
from watchline.pipeline.causes import STOPPED
from watchline.pipeline.ledger import Account
from watchline.pipeline.message import Dropped, Item
from watchline.pipeline.runner import LATENCY_BUDGET, Runner
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Process, Stage
from watchline.settings import settings
from watchline.streams.live.network import NetworkSource

RATE = 30
SERVER = ("--size", "1280x720", "--fps", str(RATE), "--kbps", "4000", "--gop", str(RATE), "--transport", "tcp")
WARM_UP = 3.0  # seconds that do not count
PERCENTILES = (50, 95, 99)
TIMES_TOO_SLOW = 5
DOWN = (0.2, 1.0, 3.0)  # seconds that the server is away
SETTLE, DEAD = 5.0, 20.0  # seconds before the CPU of a dead camera is measured, and for how long
PATIENCE = 60.0  # seconds after which a run without frames has failed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="length of a round of live (default: 60)")
    parser.add_argument("--minutes-slow", type=float, default=10, help="length of slow (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of live and start (default: 3)")
    args = parser.parse_args()
    need_server()
    print(f"{len(os.sched_getaffinity(0))} cores, shared with the server; load before {os.getloadavg()[0]:.1f}")
    if args.seconds:
        _print_live([_live(args.seconds) for _ in range(args.rounds)])
    if args.minutes_slow:
        _print_slow(_slow(args.minutes_slow * 60))
    _print_start(args.rounds)
    _print_dead(_dead())


def need_server() -> None:
    """End the program with a line that says what is missing, if the RTSP server cannot run on this machine."""
    try:
        need_rtsp_server()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(str(missing))


@dataclass(frozen=True)
class Timed(Stage):
    """A stage, and the seconds that it worked on each frame, by the frame's index."""

    stage: Stage
    seconds: dict[int, float] = field(default_factory=dict)

    name = property(lambda self: self.stage.name)
    order = property(lambda self: self.stage.order)
    workers = property(lambda self: self.stage.workers)
    batch = property(lambda self: self.stage.batch)
    gives = property(lambda self: self.stage.gives)

    @contextmanager
    def open(self) -> Iterator[Process]:
        with self.stage.open() as process:

            def timed(items: Sequence[Item]) -> list[Item]:
                started = time.monotonic()
                done = process(items)
                for item in items:
                    self.seconds[item.frame.index] = (time.monotonic() - started) / len(items)
                return done

            yield timed


@settings
class Slow(Stage):
    """A stage that takes its time and finds nothing."""

    name = "detector"
    order = "any"

    seconds: float

    @contextmanager
    def open(self) -> Iterator[Process]:
        def process(items: Sequence[Item]) -> list[Item]:
            time.sleep(self.seconds * len(items))
            return list(items)

        yield process


@dataclass(frozen=True)
class SeenFrame:
    """An annotated frame.

    Attributes:
        counter: the server's number of the frame.
        at: `time.monotonic()` when it was annotated.
        age: seconds since it was drawn.
        arrived: seconds of the age until it arrived here.
        detector: seconds of the age in the detector.
    """

    counter: int
    at: float
    age: float
    arrived: float
    detector: float


@dataclass
class Watched:
    """The results of a run. dropped: frames dropped before the last one of `seen`, by cause; after: those after it."""

    runner: Runner
    seen: list[SeenFrame] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)

    @property
    def account(self) -> Account:
        """The ledger's account of the stream."""
        [account] = self.runner.ledger.accounts().values()
        return account


def _watch(url: str, stage: Stage, seconds: float) -> Watched:
    """Run a camera through a stage and the annotator, for `seconds` after its first frame."""
    timed = Timed(stage)
    run = Watched(Runner([timed, Annotator()]))
    for message in run.runner.run([NetworkSource(url)]):
        now = time.monotonic()
        if isinstance(message, Dropped):
            run.after[message.cause] += message.frames
        if not isinstance(message, Item):
            continue
        mark = read_mark(message.frame.picture.bgr())
        if mark is None:
            raise RuntimeError(f"frame {message.frame.index} is not a picture of the server")
        drawn = mark.monotonic_ns / 1e9
        detector = timed.seconds.pop(message.frame.index)
        run.seen.append(SeenFrame(mark.counter, now, now - drawn, message.frame.arrival - drawn, detector))
        run.dropped, run.after = run.dropped + run.after, Counter()
        if now - run.seen[0].at > seconds:
            run.runner.stop()
    return run


def _live(seconds: float) -> Watched:
    with RtspServer(*SERVER) as server:
        return _watch(server.url(), Detector(), WARM_UP + seconds)


def _slow(seconds: float) -> Watched:
    with RtspServer(*SERVER) as server:
        return _watch(server.url(), Slow(TIMES_TOO_SLOW / RATE), seconds)


def _print_live(runs: list[Watched]) -> None:
    rows = [_where_time_goes(run) for run in runs]
    seen = sum(len(run.seen) for run in runs)
    decoded = sum(run.account.decoded for run in runs)
    print(f"\nlive 720p{RATE}, {len(runs)} rounds: {decoded} frames, {seen} annotated, {_causes(runs)}")
    print(f"{'ms':<28}" + "".join(f"{f'p{q}':>8}" for q in PERCENTILES) + "   goal")
    for name in rows[0]:
        figures = [median(row[name][column] for row in rows) * 1e3 for column in range(len(PERCENTILES))]
        goal = ""
        if name == WITHOUT:
            goal = f"   p50 <= 60, p99 <= 150: {_verdict(figures[0] <= 60 and figures[-1] <= 150)}"
        print(f"{name:<28}" + "".join(f"{figure:>8.1f}" for figure in figures) + goal, flush=True)


WITHOUT = "age without the detector"


def _where_time_goes(run: Watched) -> dict[str, list[float]]:
    """Seconds at each of PERCENTILES, of the age and its parts."""
    seen = [each for each in run.seen if each.at - run.seen[0].at > WARM_UP]
    rows = {
        "age of an annotated frame": [each.age for each in seen],
        WITHOUT: [each.age - each.detector for each in seen],
        "  drawn to arrived": [each.arrived for each in seen],
        "  arrived to annotated": [each.age - each.arrived for each in seen],
    }
    parts = {name: [float(np.percentile(values, q)) for q in PERCENTILES] for name, values in rows.items()}
    for name, stage in run.runner.meter.stages.items():
        for what, histogram in (("wait for the ", stage.queue), ("", stage.work)):
            if histogram.total:
                parts[f"    {what}{name}"] = [histogram.percentile(q) for q in PERCENTILES]
    return parts


def _print_slow(run: Watched) -> None:
    drawn = sum((b.counter - a.counter) % (1 << COUNTER_BITS) for a, b in zip(run.seen, run.seen[1:], strict=False))
    missed = drawn - (len(run.seen) - 1)
    account = run.account
    ledger = sum(account.dropped.values()) - run.after.total() - account.dropped.get(STOPPED, 0)
    print(f"\ndetector {TIMES_TOO_SLOW} x too slow, 720p{RATE}: {len(run.seen)} annotated, {_causes([run])}")
    print(f"{'minute':>7}{'frames':>8}{'p50':>8}{'p99':>8}{'max':>8}   ms of age")
    minutes: dict[int, list[float]] = {}
    for each in run.seen:
        minutes.setdefault(int((each.at - run.seen[0].at) / 60), []).append(each.age * 1e3)
    for minute, ages in minutes.items():
        figures = (np.percentile(ages, 50), np.percentile(ages, 99), max(ages))
        print(f"{minute:>7}{len(ages):>8}" + "".join(f"{figure:>8.0f}" for figure in figures))
    oldest = max(each.age - each.arrived for each in run.seen)
    print(f"oldest since it arrived: {oldest * 1e3:.0f} ms, budget {LATENCY_BUDGET * 1e3:.0f} ms", end=": ")
    print(_verdict(oldest <= LATENCY_BUDGET + TIMES_TOO_SLOW / RATE))
    same = missed == run.dropped.total() == ledger and account.balances and not account.in_flight
    print(f"pictures that were not annotated {missed}, dropped in events {run.dropped.total()}", end="")
    print(f", in the ledger {ledger}", end=": ")
    print(_verdict(same), flush=True)


def _print_start(rounds: int) -> None:
    starts, backs = [], []
    with RtspServer(*SERVER) as server:
        bare = []
        for _ in range(rounds):
            started = time.monotonic()
            with _cli(server.url()) as process:
                _frame(process, 0)
                starts.append(time.monotonic() - started)
            started = time.monotonic()
            with NetworkSource(server.url()).open():
                bare.append(time.monotonic() - started)
        with _cli(server.url()) as process:
            epoch, _ = _frame(process, 0)
            _let_run(process, STEADY + 1)
            for down in DOWN * rounds:
                server.kill()
                time.sleep(down)
                server.start()
                ready = time.monotonic()
                epoch, wait = _frame(process, epoch + 1)
                backs.append((down, wait, time.monotonic() - ready))
                _let_run(process, STEADY + 1)
    print(f"\nstart to first frame, of {rounds}: median {median(starts):.2f}, worst {max(starts):.2f} s", end="")
    print(f"   goal <= 1.5: {_verdict(max(starts) <= 1.5)}   (to open the source alone {median(bare):.2f})")
    print("server back to first frame, s")
    print(f"{'away':>7}{'back-off':>10}{'back':>8}   goal <= back-off + 1")
    for down, wait, back in backs:
        print(f"{down:>7.1f}{wait:>10.1f}{back:>8.2f}   {_verdict(back <= wait + 1)}", flush=True)


def _dead() -> float:
    """The share of one core that a run uses whose only camera refuses every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with _cli(f"rtsp://127.0.0.1:{port}/gone") as process:
        for event in _events(process):
            if event.get("state") == "retrying":
                break
        time.sleep(SETTLE)
        before, started = _cpu(process.pid), time.monotonic()
        time.sleep(DEAD)
        return (_cpu(process.pid) - before) / (time.monotonic() - started)


def _print_dead(share: float) -> None:
    print(f"\nCPU while the only camera is dead, over {DEAD:.0f} s: {share:.2%} of a core", end="")
    print(f"   goal <= 1 %: {_verdict(share <= 0.01)}", flush=True)


@contextmanager
def _cli(url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`watchline run`, with its events on stdout."""
    command = [sys.executable, "-m", "watchline", "run", url, "--jsonl", "-", "--no-video"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _frame(process: "subprocess.Popen[bytes]", epoch: int) -> tuple[int, float]:
    """Wait for a frame of this epoch or a later one. Returns its epoch, and the wait announced last before it."""
    wait = 0.0
    for event in _events(process):
        wait = event.get("retry_in", wait)
        if "frame" in event and event["epoch"] >= epoch:
            return event["epoch"], wait
    raise RuntimeError(f"`watchline run` gave no frame of epoch {epoch} within {PATIENCE:g} s")


def _let_run(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    until = time.monotonic() + seconds
    for _ in _events(process):
        if time.monotonic() > until:
            return


def _events(process: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    """The events as they come. If none comes for PATIENCE seconds in all, the process is killed."""
    assert process.stdout is not None, "its stdout is a pipe"
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    try:
        for line in process.stdout:
            yield json.loads(line)
    finally:
        alarm.cancel()


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process and its ended children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _causes(runs: list[Watched]) -> str:
    causes = sum((Counter(run.account.dropped) for run in runs), Counter())
    return "dropped: " + (", ".join(f"{cause} {frames}" for cause, frames in causes.items()) or "none")


def _verdict(reached: bool) -> str:
    return "ok" if reached else "MISSED"


if __name__ == "__main__":
    main()
