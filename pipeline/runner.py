"""The runner: sources through stages, every stage in its own threads, joined by links.

    runner = Runner([Detector(), Annotator()])
    for message in runner.run(sources):     # Begin, Item, Item, …, End (or Failure), stream after stream
        …

Whoever iterates is the last stage: sinks are written in the caller's thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from watchline.pipeline.camera import Camera
from watchline.pipeline.errors import ConfigError, FrameLost, StageError, StageGone, one_line
from watchline.pipeline.gate import LATE, WAIT, Gate, Put
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Link, Stopped
from watchline.pipeline.message import Begin, Dropped, End, Failure, Item, Message
from watchline.pipeline.meter import DECODER, Meter
from watchline.pipeline.opencv_threads import single_threaded
from watchline.pipeline.order import Reorder
from watchline.pipeline.remote.placed import Placed
from watchline.pipeline.stages.stage import Process, Stage
from watchline.streams.frame import Frame
from watchline.streams.source import LiveSource, Reader, Source

if TYPE_CHECKING:
    from typing_extensions import TypeIs

log = logging.getLogger(__name__)

FAILED, STOPPED = "failed", "stopped"  # causes of drops
PATIENCE = 2.0  # seconds that a source has to answer when a run is stopped or left
SPARE_FRAMES = 2  # let in beyond those being worked on: enough that no stage waits for want of frames
FILES_AT_ONCE = 4  # that are read beside cameras, or beside one another
LOOK = 0.25  # seconds between looks at the cameras
LATENCY_BUDGET = 0.5  # seconds
SILENCE = 60.0  # seconds between log lines about a stage that fails on a stream


class Inbox(Protocol):
    """Where a stage gets its messages from: a link, or the gate."""

    def receive(self, limit: int = 1) -> list[Delivery[Message]]: ...


class Runner:
    """Runs once.

    Args:
        stages: in the order of the chain.
        last: what the caller does with the messages, as the report shall name it.
        latency_budget: seconds after its arrival until which a live frame must be through, or be dropped.

    Attributes:
        ledger, meter: of this run; may be read while it runs.
    """

    def __init__(self, stages: Sequence[Stage], last: str = "writer", latency_budget: float = LATENCY_BUDGET) -> None:
        self.ledger = Ledger()
        self.meter = Meter()
        self._stages = stages
        self._last = last
        self._budget = latency_budget
        self._halt = threading.Event()
        self._halted = 0.0
        self._abort = threading.Event()
        self._cut: dict[str, int] = {}  # stream -> sequence from which on its frames are not wanted
        self._crash: BaseException | None = None
        self._started = False
        self._refusal: str | None = None
        self._complained: dict[str, float] = {}  # stream -> when the log was told of a failure
        self._cameras: dict[str, Camera] = {}
        for name, count in ((DECODER, 1), *((s.name, s.workers) for s in stages), (last, 1)):
            self.meter.stage(name, count)

    def stop(self) -> None:
        """Read no further: what was decoded goes through the chain, streams end properly, `run` ends."""
        if not self._halt.is_set():
            self._halted = time.monotonic()
        self._halt.set()
        for camera in self._cameras.values():
            camera.stop()
        for stage in self._stages:
            if isinstance(stage, Placed):
                stage.hurry()

    def abandon(self, stream: str, sequence: int = 0) -> None:
        """Go on without this stream from a sequence number on; its frames under way are booked as dropped."""
        self._cut[stream] = min(sequence, self._cut.get(stream, sequence))
        if stream in self._cameras:
            self._cameras[stream].stop()

    def refuse(self, cause: str) -> None:
        """Book the frame that was just yielded as dropped. For whoever iterates, before the next message."""
        self._refusal = cause

    def _unwanted(self, message: Message) -> bool:
        return message.sequence >= self._cut.get(message.stream, message.sequence + 1)

    def run(self, sources: Sequence[Source | LiveSource], together: bool = False) -> Generator[Message]:
        """Read the sources: one after another, or `together`, as they are if one of them is live.

        Yields:
            the messages of each stream in order: Begin, Items and End; State and Dropped too of live ones. A Failure in
            place of any of them is the last message of its stream. One stream comes after another, or all mixed.

        Raises:
            ConfigError: two sources or stages have one name; or this runner has run before.
            EngineError, StageError, …: a stage could not start.
        """
        names = [source.stream for source in sources]
        self._check(names)
        live = [source for source in sources if is_live(source)]
        self._cameras = {source.stream: Camera(source, self._budget, self.meter) for source in live}
        if self._halt.is_set():
            self.stop()
        together = together or bool(self._cameras)
        workers = sum(stage.workers * stage.batch for stage in self._stages)
        # A file beside cameras has one frame waiting, as each of them: so all have the same share of the detector.
        self._gate = Gate(self.ledger, 1 if self._cameras else 2, 2 * workers + SPARE_FRAMES, self._abort)
        links: list[Link[Message]] = [Link(stage.name, self._abort) for stage in self._stages]
        threads, decoders = self._threads(sources, together, links)
        with single_threaded():
            try:
                for thread in threads:
                    thread.start()
                yield from self._deliver(links[-1] if links else self._gate, names, together)
            finally:
                self.stop()
                self._abort.set()
                for stage in self._stages:
                    if isinstance(stage, Placed):
                        stage.cancel()
                self._leave_threads(threads, decoders)
                for link in links:
                    link.close()
                self.ledger.drop_in_flight(STOPPED)

    def _threads(
        self, sources: Sequence[Source | LiveSource], together: bool, links: Sequence[Link[Message]]
    ) -> tuple[list[threading.Thread], int]:
        """Those of the sources first, and how many they are; then those of the stages."""
        live = [source for source in sources if is_live(source)]
        files = [source for source in sources if not is_live(source)]
        at_once = min(FILES_AT_ONCE if together else 1, len(files))
        groups = [*([source] for source in live), *(files[first::at_once] for first in range(at_once))]
        self.meter.stages[DECODER].workers = len(groups)
        jobs: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [
            (DECODER, self._decode, (group,)) for group in groups
        ]
        inboxes: list[Inbox] = [self._gate, *links]
        for stage, inbox, outbox in zip(self._stages, inboxes, links, strict=False):
            jobs += [(f"{stage.name}-{n}", self._work, (stage, inbox, outbox)) for n in range(stage.workers)]
        if self._cameras:
            jobs.append(("watchdog", self._watch, ()))
        threads = [
            threading.Thread(target=self._guard, args=(job, args), name=name, daemon=True) for name, job, args in jobs
        ]
        return threads, len(groups)

    def _leave_threads(self, threads: Sequence[threading.Thread], decoders: int) -> None:
        """Wait for them; for a source that does not answer no longer than PATIENCE."""
        for thread in threads[decoders:]:
            if thread.ident is not None:  # it was started
                thread.join()
        until = max(self._halted + PATIENCE, time.monotonic() + 2 * WAIT)  # who waits at the gate notices by then
        for thread in threads[:decoders]:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        stuck = [thread for thread in threads[:decoders] if thread.is_alive()]
        if not stuck:
            self._gate.close()
            return
        log.warning("%d sources do not answer; their threads end when they do", len(stuck))
        threading.Thread(target=_close_after, args=(stuck, self._gate), daemon=True).start()

    def _check(self, streams: Sequence[str]) -> None:
        if self._started:
            raise ConfigError("this Runner has run: make a new one for each run")
        self._started = True
        stages = [DECODER, *(stage.name for stage in self._stages), self._last]
        for what, names in (("streams", streams), ("stages", stages)):
            if len(set(names)) < len(names):
                raise ConfigError(f"two {what} have the same name in {', '.join(names)}: name them apart")

    def _guard(self, job: Callable[..., None], args: tuple[object, ...]) -> None:
        """Run a thread's job; an error that is no frame's fault ends the run and is raised where it is iterated."""
        try:
            job(*args)
        except Stopped:
            log.debug("%s stopped", threading.current_thread().name)
        except BaseException as error:
            self._crash = self._crash or error
            self._abort.set()

    def _decode(self, sources: Sequence[Source | LiveSource]) -> None:
        for source in sources:
            with self._gate.entrance(source.stream, is_live(source)) as put:
                if is_live(source):
                    self._cameras[source.stream].run(put)
                else:
                    self._decode_one(source, put)

    def _watch(self) -> None:
        """Look at the cameras, whose readers may be stuck."""
        while not self._abort.wait(LOOK):
            for camera in self._cameras.values():
                camera.look()

    def _decode_one(self, source: Source, put: Put) -> None:
        stream = source.stream
        if self._halt.is_set():
            put(End(stream, 0, whole=False))
            return
        try:
            with source.open() as reader:
                put(Begin(stream, 0, reader.about))
                for frame in self._read(reader, stream):
                    put(Item(0, frame))
                end = End(stream, 0, not self._halt.is_set(), tuple(getattr(reader, "notes", ())))
        except Stopped:
            raise
        except Exception as error:  # whatever a source raises ends its own stream only
            log.debug("%s failed", stream, exc_info=True)
            put(Failure(stream, 0, DECODER, one_line(error)))
        else:
            put(end)

    def _read(self, reader: Reader, stream: str) -> Iterator[Frame]:
        """The frames of a reader as long as they are wanted; the meter sees how long each took."""
        frames = iter(reader)
        while not self._halt.is_set() and stream not in self._cut:
            started = time.monotonic()
            frame = next(frames, None)
            if frame is None:
                return
            self.meter.worked(DECODER, 1, [], time.monotonic() - started)
            if frame.stream != stream:
                raise ValueError(f"the source {stream!r} gave a frame of {frame.stream!r}: expected its own stream")
            yield frame

    def _work(self, stage: Stage, inbox: Inbox, outbox: Link[Message]) -> None:
        order = Reorder() if stage.workers == 1 else None
        with stage.open() as process, outbox.sender() as sender:
            while True:
                deliveries = inbox.receive(stage.batch)
                if order:
                    deliveries = [due for early in deliveries for due in order.push(early)]
                for message in self._process(stage, process, deliveries):
                    sender.send(message)

    def _process(self, stage: Stage, process: Process, deliveries: list[Delivery[Message]]) -> list[Message]:
        """The stage's results for what was delivered; whatever is no frame passes through in its place."""
        deliveries = [Delivery(self._in_time(d.message), d.ready) for d in deliveries]
        messages = [d.message for d in deliveries]
        work = [m for m in messages if isinstance(m, Item) and not self._unwanted(m)]
        if not work:
            return messages
        started = time.monotonic()
        try:
            done = {_place(item): item for item in process(work)}
            if done.keys() != {_place(item) for item in work}:
                raise StageError(
                    f"the stage gave {len(done)} items for {len(work)}: expected one for each, in its place"
                )
        except StageGone:
            raise
        except Exception as error:
            if len(work) > 1:  # find the frame that is to blame
                return [m for d in deliveries for m in self._process(stage, process, [d])]
            return [self._lost(stage, work[0], error) if m is work[0] else m for m in messages]
        waited = [started - d.ready for d in deliveries if isinstance(d.message, Item)]
        self.meter.worked(stage.name, len(work), waited, time.monotonic() - started)
        return [done.get(_place(m), m) for m in messages]

    def _in_time(self, message: Message) -> Message:
        """A frame that is too late becomes a line about its loss."""
        return self._drop(message, LATE) if isinstance(message, Item) and message.late else message

    def _drop(self, item: Item, cause: str) -> Dropped:
        """A live frame goes no further."""
        self._leave(item, cause)
        return Dropped(item.stream, item.sequence, cause, 1, item.frame.epoch or 0)

    def _lost(self, stage: Stage, item: Item, error: Exception) -> Message:
        """A stage has failed on a frame: a live stream goes on without it, a file ends there."""
        log.debug("%s failed", stage.name, exc_info=error)
        if item.deadline is not None:
            if not isinstance(error, FrameLost):
                self._complain(stage.name, item, error)
            return self._drop(item, error.cause if isinstance(error, FrameLost) else FAILED)
        self.abandon(item.stream, item.sequence)
        self._leave(item, FAILED)
        return Failure(item.stream, item.sequence, stage.name, f"frame {item.frame.index}: {one_line(error)}")

    def _complain(self, stage: str, item: Item, error: Exception) -> None:
        """Once a minute for each stream: a stage that fails on every frame would fill the log."""
        now = time.monotonic()
        if now - self._complained.get(item.stream, -SILENCE) >= SILENCE:
            self._complained[item.stream] = now
            log.warning("%s: the %s failed on frame %d: %s", item.stream, stage, item.frame.index, one_line(error))

    def _deliver(self, inbox: Inbox, streams: Sequence[str], together: bool) -> Iterator[Message]:
        """What comes out of the last stage, each stream in its own order up to its end or failure; stream after stream
        in the order of the sources, unless they run together.
        """
        order = Reorder()
        turns = deque(streams)
        waiting: dict[str, deque[Delivery[Message]]] = {stream: deque() for stream in streams}
        failed: set[str] = set()
        while turns:
            try:
                arrived = inbox.receive()
            except Stopped:
                if self._crash:
                    raise self._crash from None
                return
            for delivery in (due for early in arrived for due in order.push(early)):
                waiting[delivery.message.stream].append(delivery)
            for stream in list(turns):
                if not together and stream != turns[0]:
                    break
                while waiting[stream]:
                    delivery = waiting[stream].popleft()
                    message = delivery.message
                    if isinstance(message, Item):
                        yield from self._hand_out(message, delivery.ready)
                        continue
                    if stream not in failed:
                        yield message
                    if isinstance(message, Failure):
                        failed.add(stream)
                    if isinstance(message, End) or (isinstance(message, Failure) and message.where == DECODER):
                        turns.remove(stream)

    def _hand_out(self, item: Item, ready: float) -> Iterator[Message]:
        if self._unwanted(item):
            self._leave(item, FAILED)
            return
        if item.late:
            yield self._drop(item, LATE)
            return
        started = time.monotonic()
        yield item
        now = time.monotonic()
        self.meter.worked(self._last, 1, [started - ready], now - started)
        refusal, self._refusal = self._refusal, None
        if refusal or self._unwanted(item):  # the caller could not use it
            self._leave(item, refusal or FAILED)
            return
        self.meter.finished(now - item.frame.arrival)
        self._leave(item, None)

    def _leave(self, item: Item, cause: str | None) -> None:
        if cause is None:
            self.ledger.annotated(item.stream, item.frame.index)
        else:
            self.ledger.dropped(item.stream, item.frame.index, cause)
        self._gate.leave()


def is_live(source: Source | LiveSource) -> "TypeIs[LiveSource]":
    """Whether its frames come when they come."""
    return getattr(source, "live", False)


def _close_after(threads: Sequence[threading.Thread], gate: Gate) -> None:
    for thread in threads:
        thread.join()
    gate.close()


def _place(message: Message) -> tuple[str, int]:
    return message.stream, message.sequence
