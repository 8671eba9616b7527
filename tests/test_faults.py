"""Cameras that fail in every way, watched by a real run beside a good one: they are live again soon, the good one never
notices, every frame is accounted for, and no picture is given that the camera did not send.
"""

import gc
import resource
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import fault_camera as faults
import pytest
from fault_camera import FAULTS, Act, Fault, FaultCamera
from ledger_of import Account
from leftovers import everything
from marks import Mark, read_mark
from pipelines import Step
from rtsp import BadWire, RtspServer, need_rtsp_server

from watchline.pipeline import camera
from watchline.pipeline.backoff import Backoff
from watchline.pipeline.message import Dropped, Item, Message, State
from watchline.pipeline.runner import Runner
from watchline.streams.live.network import NetworkSource

TIMEOUT = 2.0  # seconds of silence after which a stream is given up
SOON = 3.0  # seconds beyond the back-off within which a stream is live again
GAP = 1.0  # seconds that a good stream may be without a frame
SMALL = ("--size", "320x180", "--fps", "15", "--gop", "8", "--kbps", "1500")
AT, LASTS = 1.0, 3.0  # seconds, of a fault
DAY = 8  # faulty cameras in a run
GOOD = "good"


@dataclass(frozen=True)
class Seen:
    """A frame that came through, and when; `mark` is None if it is no picture of the server's."""

    time: float
    epoch: int
    size: tuple[int, int]
    mark: Mark | None


@dataclass
class Log:
    """What became of a stream."""

    frames: list[Seen] = field(default_factory=list)
    states: list[tuple[float, State]] = field(default_factory=list)
    account: Account = field(default_factory=Account)

    def take(self, message: Message) -> None:
        """Raises Unaccounted if a frame is missing before this one."""
        now = time.monotonic()
        match message:
            case Item(frame=frame):
                assert frame.epoch is not None
                self.account.book({"frame": frame.index, "epoch": frame.epoch})
                mark = read_mark(frame.picture.bgr())
                self.frames.append(Seen(now, frame.epoch, (frame.width, frame.height), mark))
            case State(state=state, epoch=epoch):
                self.account.book({"event": "state", "state": state, "epoch": epoch})
                self.states.append((now, message))
            case Dropped(cause=cause, frames=lost, epoch=epoch):
                self.account.book({"event": "dropped", "cause": cause, "frames": lost, "epoch": epoch})

    def is_live(self, since: float) -> bool:
        """Whether its newest picture was taken after a moment."""
        mark = self.frames[-1].mark if self.frames else None
        return mark is not None and mark.monotonic_ns / 1e9 > since

    def live_again(self, since: float) -> float:
        """When the first picture came that was taken after a moment."""
        again = [seen.time for seen in self.frames if seen.mark and seen.mark.monotonic_ns / 1e9 > since]
        assert again, f"not live again; states: {self.told}"
        return again[0]

    def wait(self, at: float) -> float:
        """The back-off that was on at a moment, or was the next to begin."""
        waits = [(when, state.retry_in or 0.0) for when, state in self.states if state.state == "retrying"]
        return next((wait for when, wait in waits if when + wait > at), 0.0)

    @property
    def longest_gap(self) -> float:
        return max(b.time - a.time for a, b in pairwise(self.frames))

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(state.state, state.why) for _, state in self.states]

    @property
    def names(self) -> list[str]:
        return [state.state for _, state in self.states]

    def is_true(self, but: int = 0) -> None:
        """Every picture, but for so many, is one of the server's, each came once, in its order."""
        marks = [seen.mark for seen in self.frames if seen.mark]
        assert len(self.frames) - len(marks) <= but, "a picture was given that the server never made"
        counters = [mark.counter for mark in marks]
        assert counters == sorted(set(counters))


Logs = dict[str, Log]


def watch(sources: Sequence[NetworkSource], deed: Callable[[Logs], float], back: Collection[str] = ()) -> Logs:
    """Watches the sources until those that are to come `back`, or all, are live again after a deed; the books must be
    right then.

    Args:
        deed: runs beside; returns the moment from which on all is well.
    """
    logs: Logs = {source.stream: Log() for source in sources}
    runner = Runner([Step("detector", lambda item: item, 2)])
    well: list[float] = []

    def act() -> None:
        wait_until(lambda: all(logs[name].frames for name in back or logs), runner)
        well.append(deed(logs))

    acting = threading.Thread(target=act)
    acting.start()
    for message in runner.run(sources):
        logs[message.stream].take(message)
        since = well[0] if well else time.monotonic()
        over = time.monotonic() - since > 12
        if over or (well and all(logs[name].is_live(since + 0.3) for name in back or logs)):
            runner.stop()
    acting.join()
    for stream, account in runner.ledger.accounts().items():
        told = logs[stream].account
        assert account.balances
        assert account.in_flight == 0
        assert (account.decoded, account.annotated, account.dropped) == (told.decoded, told.frames, dict(told.dropped))
    return logs


def wait_until(is_so: Callable[[], bool], what: object, limit: float = 20.0) -> None:
    until = time.monotonic() + limit
    while not is_so():
        assert time.monotonic() < until, f"nothing came of {what}"
        time.sleep(0.02)


def source(server: RtspServer, stream: str, path: str = "/live", port: int | None = None, **more) -> NetworkSource:
    settings = {"open_timeout": TIMEOUT, "read_timeout": TIMEOUT, **more}
    return NetworkSource(server.url(path, port=port), stream, **settings)


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    need_rtsp_server()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = everything()
    yield

    def is_as_before() -> bool:
        gc.collect()
        return everything() == before

    wait_until(is_as_before, f"leaving no more than {before}", 5.0)


# Faults on the way, by the fault camera.

SILENT = (
    faults.half_open, faults.freeze, faults.trickle, faults.lose_bytes, faults.truncate, faults.noise, faults.garbage,
)  # fmt: skip
HARMLESS = (faults.delay, faults.shred)  # no picture is damaged, and the connection stays
DAMAGING = (faults.lose_packets, faults.duplicate, faults.reorder, faults.flip)  # the connection stays
EITHER = (faults.trickle, faults.truncate, faults.noise, faults.lose_bytes)  # FFmpeg may find its way again, or not


DAYS = [FAULTS[first : first + DAY] for first in range(0, len(FAULTS), DAY)]


@cache
def day_with(todays: tuple[Fault, ...]) -> tuple[Logs, dict[Fault, float]]:
    """One run of a good camera and some bad ones, each with its own fault. Returns what became of them, and when the
    faults were over.
    """
    with ExitStack() as opened:
        server = opened.enter_context(RtspServer(*SMALL, "--noise"))
        acts = {each: Act(AT, each, LASTS) for each in todays}
        cameras = {
            each: opened.enter_context(FaultCamera(server.port, [act], seed))
            for seed, (each, act) in enumerate(acts.items())
        }
        ends: dict[Fault, float] = {}

        def deed(_: Logs) -> float:
            ends.update({each: cameras[each].when(act)[1] for each, act in acts.items()})
            time.sleep(max(ends.values()) - time.monotonic())
            return max(ends.values())

        bad = [source(server, each.__name__, port=camera.port) for each, camera in cameras.items()]
        return watch([source(server, GOOD), *bad], deed), ends


@pytest.mark.parametrize(("day", "fault"), [pytest.param(day, each, id=each.__name__) for day in DAYS for each in day])
def test_after_a_fault_a_camera_is_live_again_and_the_good_one_never_noticed(day, fault):
    logs, ends = day_with(day)
    log, end = logs[fault.__name__], ends[fault]
    again = log.live_again(end)
    assert again - end < log.wait(end) + SOON + (TIMEOUT if fault in SILENT else 0)
    # H.264 has no checksum: of wrong bits that make sense to a decoder, nobody can know.
    log.is_true(but=2 if fault is faults.flip else 0)
    logs[GOOD].is_true()
    assert logs[GOOD].longest_gap < GAP
    assert logs[GOOD].account.epochs == [0]
    if fault in HARMLESS + DAMAGING:
        assert log.account.epochs == [0]
        if fault is not faults.delay:  # a server that is held up may throw away what it cannot send
            assert ("damaged" in log.account.dropped) == (fault in DAMAGING)
    elif fault not in EITHER:
        assert len(log.account.epochs) > 1


# What a server may do.


def test_a_camera_that_boots_is_tried_again_soon():
    """It takes connections and closes them, as there is nothing behind yet."""
    runner = Runner([])
    waits: list[float | None] = []
    with FaultCamera(9, []) as door:
        for message in runner.run([NetworkSource(f"rtsp://127.0.0.1:{door.port}/live", "gate")]):
            if isinstance(message, State) and message.state == "retrying":
                waits.append(message.retry_in)
                runner.stop()
    assert waits
    assert waits[0] <= camera.AGAIN.first


def test_a_server_is_killed_and_started_again():
    with ExitStack() as opened:
        servers = {codec: opened.enter_context(RtspServer(*SMALL, "--codec", codec)) for codec in ("h264", "h265")}
        good = opened.enter_context(RtspServer(*SMALL))
        sources = [
            source(server, f"{codec}-{transport}", transport=transport)
            for codec, server in servers.items()
            for transport in ("tcp", "udp")
        ]

        def deed(_: Logs) -> float:
            for server in servers.values():
                server.kill()
            time.sleep(1)
            for server in servers.values():
                server.start()
            return time.monotonic()

        moment: list[float] = []
        logs = watch([source(good, GOOD), *sources], lambda logs: moment.append(deed(logs)) or moment[0])
    assert logs[GOOD].longest_gap < GAP
    for each in sources:
        log = logs[each.stream]
        assert log.live_again(moment[0]) - moment[0] < log.wait(moment[0]) + SOON + TIMEOUT * each.stream.endswith(
            "udp"
        )
        assert len(log.account.epochs) > 1
        assert None not in [seen.mark for seen in log.frames]
        for epoch in log.account.epochs:
            counters = [seen.mark.counter for seen in log.frames if seen.epoch == epoch]
            assert counters == sorted(set(counters))
        times = [seen.mark.monotonic_ns for seen in log.frames]
        assert times == sorted(set(times))


def test_a_server_freezes():
    """For longer than the one waits, and shorter than the other does."""
    with RtspServer(*SMALL) as server, RtspServer(*SMALL) as other:
        hasty, patient = source(server, "hasty"), source(server, "patient", read_timeout=6.0, open_timeout=6.0)

        def deed(_: Logs) -> float:
            server.freeze()
            time.sleep(3)
            server.thaw()
            thawed.append(time.monotonic())
            return thawed[0]

        thawed: list[float] = []
        logs = watch([source(other, GOOD), hasty, patient], deed)
    for name in ("hasty", "patient"):
        logs[name].is_true()
        assert logs[name].live_again(thawed[0]) - thawed[0] < logs[name].wait(thawed[0]) + SOON + TIMEOUT
    assert logs["patient"].names == ["connecting", "live", "stalled", "live", "ended"]
    assert "retrying" in logs["hasty"].names
    assert logs[GOOD].longest_gap < GAP


def test_a_server_slows_down():
    with RtspServer(*SMALL) as server:

        def deed(_: Logs) -> float:
            for _ in range(20):
                server.freeze()
                time.sleep(0.1)
                server.thaw()
                time.sleep(0.05)
            return time.monotonic()

        logs = watch([source(server, "slow")], deed)
    logs["slow"].is_true()
    assert logs["slow"].names == ["connecting", "live", "ended"]
    assert logs["slow"].longest_gap < GAP


def test_a_server_comes_back_with_another_resolution():
    with RtspServer(*SMALL) as server, RtspServer("--size", "480x272", "--fps", "15", "--gop", "8") as other:

        def deed(_: Logs) -> float:
            server.kill()
            other.kill()
            other.port = server.port
            other.start()
            return time.monotonic()

        logs = watch([source(server, "gate")], deed)
    sizes = [seen.size for seen in logs["gate"].frames]
    assert set(sizes) == {(320, 180), (480, 272)}
    assert sizes == sorted(sizes)
    assert None not in [seen.mark for seen in logs["gate"].frames]


def test_pictures_change_their_size_on_the_way():
    with RtspServer(*SMALL) as server:
        logs = watch([source(server, "gate", "/resize")], lambda _: time.sleep(4.5) or time.monotonic())
    logs["gate"].is_true()
    assert {seen.size for seen in logs["gate"].frames} == {(320, 180), (160, 90)}
    assert logs["gate"].account.epochs == [0]


def test_what_does_not_mend_itself_is_told_and_not_hammered():
    """Wrong passwords, a wrong path, a closed port: beside a good stream, for three seconds."""
    with ExitStack() as opened:
        good = opened.enter_context(RtspServer(*SMALL))
        wires, sources = {}, [source(good, GOOD)]
        for method in ("basic", "digest"):
            server = opened.enter_context(RtspServer(*SMALL, "--auth", method, login="gate:right"))
            wires[method] = opened.enter_context(BadWire(server.port))
            url = server.url(login="gate:wrong", port=wires[method].port)
            sources.append(NetworkSource(url, method))
        wires["path"] = opened.enter_context(BadWire(good.port))
        sources += [
            source(good, "path", "/nope", port=wires["path"].port),
            NetworkSource("rtsp://127.0.0.1:9/x", "port"),
        ]
        logs = watch(sources, lambda _: time.sleep(3) or time.monotonic(), back=[GOOD])
    for method in ("basic", "digest"):
        assert logs[method].names == ["connecting", "retrying", "ended"]
        assert "refused user name or password (401)" in logs[method].told[1][1]
        assert logs[method].wait(0) >= 30
        assert sum(line.startswith("Authorization:") for line in wires[method].requests) <= 2
    assert "does not have this path (404)" in logs["path"].told[1][1]
    assert "nothing listens" in logs["port"].told[1][1]
    assert len(wires["path"].requests) < 20
    for name in ("path", "port"):
        waits = [state.retry_in for _, state in logs[name].states if state.retry_in is not None]
        assert 2 <= len(waits) <= 6
        first = camera.AGAIN.first
        assert all(first / 2 * 2**n <= wait <= first * 2**n for n, wait in enumerate(waits))
    logs[GOOD].is_true()
    assert logs[GOOD].longest_gap < GAP


@pytest.mark.slow
def test_twelve_deaths_leave_nothing(monkeypatch):
    """A server is killed and started again 12 times: memory, threads and descriptors are flat."""
    monkeypatch.setattr(camera, "AGAIN", Backoff(first=0.1, ceiling=0.2))
    sizes: list[tuple[int, tuple[int, ...]]] = []
    with RtspServer(*SMALL) as server:

        def deed(logs: Logs) -> float:
            for _ in range(12):
                server.kill()
                server.start()
                started = time.monotonic()
                wait_until(lambda since=started: logs["gate"].is_live(since), "the server's return")
                sizes.append((resident(), counts_of(everything())))
            return time.monotonic()

        logs = watch([source(server, "gate")], deed)
    assert len(logs["gate"].account.epochs) > 12
    assert None not in [seen.mark for seen in logs["gate"].frames]
    # A connection through the relay (a camera that first says 503) has two threads and three descriptors more than one
    # without; what six deaths left would be more than that.
    before, after = (
        [max(column) for column in zip(*(c for _, c in part), strict=True)] for part in (sizes[:6], sizes[6:])
    )
    assert all(now <= then + 3 for then, now in zip(before, after, strict=True)), sizes
    assert sizes[-1][0] < sizes[9][0] * 1.05, "memory grows"


def counts_of(left: tuple[int, list[str], list[str], int]) -> tuple[int, ...]:
    """How many threads, descriptors, children and pieces of shared memory."""
    threads, files, children, pieces = left
    return threads, len(files), len(children), pieces


def resident() -> int:
    """Bytes of memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
