"""Does anything grow, or get lost, while cameras fail? Four cameras through `watchline run`, a fault every 20 s.

    python bench/soak.py [--minutes 30] [--every 20] [--video] [--place process] [--seed 0]

Each camera is an RTSP server (GStreamer, 360p, 15 frames/s, H.264) behind a proxy that breaks its stream
(tests/fault_camera.py). One fault after another hits one camera after another: all faults of the proxy, the server
killed and started again, the server frozen. The seed decides the order. With --video, the annotated pictures are
encoded too, into new files every two minutes. With --place process, the detector has a process of its own.

Shortly before each fault, when the last one should be over, these are sampled: memory, threads, descriptors and shared
memory of the run and its processes, connections, and drops by cause. At the end, the run is stopped as by Ctrl-C. Then
the medians of the first and the last third of the samples from minute 5 on are compared, and every frame must be
accounted for: by the run's report, and by its events files alone. The exit code is 1 if something grew or is missing.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import BinaryIO

from latency import need_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fault_camera import FAULTS, Act, Fault, FaultCamera
from ledger_of import Account, Unaccounted, ledger_of
from rtsp import RtspServer

from watchline.pipeline.causes import STOPPED

CAMERAS = 4
SERVER = ("--size", "640x360", "--fps", "15", "--kbps", "1000", "--gop", "15", "--transport", "tcp")
SPLIT = "2m"
LASTS = 6.0  # seconds that a fault of the proxy lasts
AWAY, FROZEN = 3.0, 8.0  # seconds for which a server is killed, and frozen
BEFORE = 1.0  # seconds before a fault at which a sample is taken
SETTLED = 5.0  # minutes at the start that do not count, but at most a third
GROWTH = 0.05  # allowed growth of memory; nothing else may grow
PRINT = 30.0  # seconds between two lines
PATIENCE = 30.0  # seconds within which the run must start, and end
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Run, print, and judge. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=20, help="seconds from one fault to the next (default: 20)")
    parser.add_argument("--video", action="store_true", help="encode annotated video too")
    parser.add_argument("--place", help="of the detector, as in `watchline run --place detector=…`")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    need_server()
    plan = FaultPlan(args.minutes * 60, args.every, args.seed)
    with tempfile.TemporaryDirectory(prefix="watchline-soak-") as folder, ExitStack() as running:
        out = Path(folder)
        servers = [running.enter_context(RtspServer(*SERVER)) for _ in range(CAMERAS)]
        cameras = [
            running.enter_context(FaultCamera(server.port, plan.acts[number], args.seed))
            for number, server in enumerate(servers)
        ]
        options = ["--place", f"detector={args.place}"] if args.place else []
        options += [] if args.video else ["--no-video"]
        run = running.enter_context(_running([camera.port for camera in cameras], options, out))
        samples = _soak(run, plan, servers, cameras, out)
        wrong = _end(run, out) + _accounts(out)
    wrong += _growth([each for each in samples if each.minute >= min(SETTLED, args.minutes / 3)])
    for line in wrong:
        print(f"WRONG: {line}")
    print("something is wrong" if wrong else "all is well: nothing grew, every frame is accounted for")
    return bool(wrong)


class FaultPlan:
    """The schedule of the faults. All times are seconds from the start.

    Attributes:
        seconds: length of the run.
        acts: faults of each camera's proxy.
        of_servers: faults of the servers: time, number of the server, and what is done to it.
        samples: times of the samples, and the name of the fault that follows.
    """

    def __init__(self, seconds: float, every: float, seed: int) -> None:
        self.seconds = seconds
        self.acts: list[list[Act]] = [[] for _ in range(CAMERAS)]
        self.of_servers: list[tuple[float, int, Callable[[RtspServer], None]]] = []
        self.samples: list[tuple[float, str]] = []
        faults = _without_end(random.Random(seed))
        for number in range(1, int(seconds / every)):
            name, fault = next(faults)
            at, camera = number * every, number % CAMERAS
            self.samples.append((at - BEFORE, f"{name} ({camera})"))
            if isinstance(fault, Outage):
                self.of_servers += [(at, camera, fault.begin), (at + fault.seconds, camera, fault.end)]
            else:
                self.acts[camera].append(Act(at, fault, min(LASTS, every / 2)))


@dataclass(frozen=True)
class Outage:
    """A fault of a server."""

    begin: Callable[[RtspServer], None]
    end: Callable[[RtspServer], None]
    seconds: float


def _without_end(order: random.Random) -> Iterator[tuple[str, Fault | Outage]]:
    """All faults once, then again in another order, without end."""
    faults: list[tuple[str, Fault | Outage]] = [(fault.__name__, fault) for fault in FAULTS]
    faults.append(("server killed", Outage(RtspServer.kill, RtspServer.start, AWAY)))
    faults.append(("server frozen", Outage(RtspServer.freeze, RtspServer.thaw, FROZEN)))
    while True:
        order.shuffle(faults)
        yield from faults


@dataclass(frozen=True)
class Usage:
    """The run and its processes at one moment. memory, shared: MiB."""

    minute: float
    memory: float
    threads: int
    descriptors: int
    shared: float

    @classmethod
    def of(cls, pid: int, minute: float) -> "Usage":
        """Read the memory, threads and descriptors of a process and its children."""
        own = [Path("/proc") / number for number in (str(pid), *_children(pid))]
        pages = sum(int((each / "statm").read_text().split()[1]) for each in own)
        threads = sum(len(list((each / "task").iterdir())) for each in own)
        descriptors = sum(len(list((each / "fd").iterdir())) for each in own)
        return cls(minute, pages * PAGE / 2**20, threads, descriptors, sum(map(_shared, own)))


def _children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            for child in (task / "children").read_text().split():
                found += [child, *_children(int(child))]
    return found


def _shared(process: Path) -> float:
    """MiB of shared memory that a process has mapped: files in /dev/shm, and files without a name."""
    size = 0
    for line in (process / "maps").read_text().splitlines():
        if "/memfd:" in line or "/dev/shm/" in line:
            begin, end = line.split()[0].split("-")
            size += int(end, 16) - int(begin, 16)
    return size / 2**20


@dataclass
class Events:
    """The events file of all streams, read while it grows."""

    file: BinaryIO
    frames: int = 0
    epochs: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    _rest: bytes = b""

    def read(self) -> None:
        """Read the events that were added since the last call."""
        *lines, self._rest = (self._rest + self.file.read()).split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.frames += "frame" in event
            if "epoch" in event:
                self.epochs[event["stream"]] = event["epoch"]
            if event.get("event") == "dropped":
                self.dropped[event["cause"]] += event["frames"]


@contextmanager
def _running(ports: list[int], options: list[str], out: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `watchline run` on these ports of this host. Its files, all events and its log are in `out`."""
    urls = [f"rtsp://127.0.0.1:{port}/live" for port in ports]
    files = ["--out", str(out / "files"), "--jsonl", str(out / "all.jsonl"), "--report", str(out / "report.json")]
    command = [sys.executable, "-m", "watchline", "run", *urls, *files, "--split", SPLIT, *options]
    with (out / "log.txt").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def _soak(
    run: "subprocess.Popen[bytes]", plan: FaultPlan, servers: list[RtspServer], cameras: list[FaultCamera], out: Path
) -> list[Usage]:
    """Follow the plan from the run's first frames until its end, or until the run ends. Returns the samples."""
    until = time.monotonic() + PATIENCE
    while any(camera.began is None for camera in cameras) and run.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    if run.poll() is not None:
        return []
    with (out / "all.jsonl").open("rb") as file:
        watcher = Watcher(run.pid, Events(file))
        due: list[tuple[float, Callable[[], None]]] = [(plan.seconds, lambda: None)]
        due += [(at, partial(act, servers[number])) for at, number, act in plan.of_servers]
        due += [(at, partial(watcher.sample, fault)) for at, fault in plan.samples]
        for at, work in sorted(due, key=lambda each: each[0]):
            while (wait := watcher.began + at - time.monotonic()) > 0 and run.poll() is None:
                time.sleep(min(wait, 0.5))
            if run.poll() is not None:
                break
            work()
    return watcher.samples


class Watcher:
    """Takes samples of a run.

    Attributes:
        began: `time.monotonic()` of its start.
        samples: taken so far.
    """

    def __init__(self, pid: int, events: Events) -> None:
        self.began = time.monotonic()
        self.samples: list[Usage] = []
        self._pid = pid
        self._events = events
        self._printed = -PRINT
        head = f"{'minute':>7}{'MiB':>8}{'threads':>9}{'files':>7}{'shared':>8}{'epochs':>8}{'frames':>8}"
        print(f"{head}  dropped; next fault")

    def sample(self, fault: str) -> None:
        """Take a sample, before this fault."""
        seconds = time.monotonic() - self.began
        now, events = Usage.of(self._pid, seconds / 60), self._events
        events.read()
        self.samples.append(now)
        if seconds - self._printed < PRINT:
            return
        self._printed = seconds
        dropped = ", ".join(f"{cause} {frames}" for cause, frames in events.dropped.items()) or "none"
        print(f"{now.minute:>7.1f}{now.memory:>8.1f}{now.threads:>9}{now.descriptors:>7}{now.shared:>8.1f}", end="")
        print(f"{sum(events.epochs.values()):>8}{events.frames:>8}  {dropped}; {fault}", flush=True)


def _end(run: "subprocess.Popen[bytes]", out: Path) -> list[str]:
    """Stop the run. Returns what is wrong with its end."""
    early = run.poll()
    if early is not None:
        return [f"the run ended by itself with {early}: {_tail(out)}"]
    run.send_signal(signal.SIGINT)
    try:
        code = run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return [f"the run did not end within {PATIENCE:g} s of Ctrl-C: {_tail(out)}"]
    wrong = [f"exit code {code}, expected 0: {_tail(out)}"] if code else []
    log = (out / "log.txt").read_text(errors="replace")
    return wrong + [f"{word} in the log of the run: {_tail(out)}" for word in ("Traceback", "Error:") if word in log]


def _accounts(out: Path) -> list[str]:
    """What is wrong with the frame counts in the report, in the streams' events files, and in that of all streams."""
    wrong = []
    try:
        streams = json.loads((out / "report.json").read_text())["streams"]
        by_stream = ledger_of((out / "files").glob("*.jsonl"))
        together = ledger_of([out / "all.jsonl"])
    except (OSError, Unaccounted) as error:
        return [str(error)]
    for stream, account in streams.items():
        print(f"{stream}: {account['decoded']} frames, {account['annotated']} written, dropped: {account['dropped']}")
        if not account["balances"] or account["in_flight"]:
            wrong.append(f"{stream}: the report does not balance: {account}")
        for what, files in (("its own files", by_stream), ("the file of all events", together)):
            found = files.get(stream, Account())
            of_files = (found.frames, found.decoded)
            stopped = account["dropped"].get(STOPPED, 0)
            if of_files != (account["annotated"], account["decoded"] - stopped):
                wrong.append(f"{stream}: {of_files} frames and frames with the dropped ones in {what}: {account}")
    if len(streams) != CAMERAS:
        wrong.append(f"{len(streams)} streams in the report, expected {CAMERAS}")
    return wrong


def _growth(samples: list[Usage]) -> list[str]:
    """Print the medians of the first and the last third. Returns what has grown."""
    third = len(samples) // 3
    if not third:
        return ["too short to see whether something grows"]
    wrong = []
    print(f"{'':<12}{'first third':>12}{'last third':>12}   of {len(samples)} samples")
    for name, allowed in (("memory", GROWTH), ("threads", 0.0), ("descriptors", 0.0), ("shared", 0.0)):
        begin, end = (median(getattr(each, name) for each in part) for part in (samples[:third], samples[-third:]))
        print(f"{name:<12}{begin:>12.1f}{end:>12.1f}")
        if end > begin * (1 + allowed):
            wrong.append(f"{name} grew from {begin:.1f} to {end:.1f}")
    return wrong


def _tail(out: Path) -> str:
    """The last lines of the run's log."""
    return (out / "log.txt").read_text(errors="replace")[-2000:].strip()


if __name__ == "__main__":
    sys.exit(main())
