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
from itertools import pairwise

import cv2

from watchline.pipeline.errors import ConfigError, StageError
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Link, Sender, Stopped
from watchline.pipeline.message import Begin, End, Failure, Item, Message
from watchline.pipeline.meter import Meter
from watchline.pipeline.order import Reorder
from watchline.pipeline.stage import Process, Stage
from watchline.streams.frame import Frame
from watchline.streams.source import Reader, Source

log = logging.getLogger(__name__)

DECODER = "decoder"
PATIENCE = 2.0  # seconds that a source has to answer when a run is left
SPARE_FRAMES = 4  # let in beyond those being worked on: enough that no stage waits for want of frames


class Runner:
    """Runs once.

    Args:
        stages: in the order of the chain.
        last: what the caller does with the messages, as the report shall name it.

    Attributes:
        ledger, meter: of this run; may be read while it runs.
    """

    def __init__(self, stages: Sequence[Stage], last: str = "writer") -> None:
        self.ledger = Ledger()
        self.meter = Meter()
        self._stages = stages
        self._last = last
        self._halt = threading.Event()
        self._abort = threading.Event()
        self._cut: dict[str, int] = {}  # stream -> sequence from which on its frames are not wanted
        self._crash: BaseException | None = None
        self._started = False
        workers = sum(stage.workers * stage.batch for stage in stages)
        self._room = threading.Semaphore(2 * workers + SPARE_FRAMES)
        for name, count in ((DECODER, 1), *((s.name, s.workers) for s in stages), (last, 1)):
            self.meter.stage(name, count)

    def stop(self) -> None:
        """Read no further: what was decoded goes through the chain, streams end properly, `run` ends."""
        self._halt.set()

    def abandon(self, stream: str, sequence: int = 0) -> None:
        """Go on without this stream from a sequence number on; its frames under way are booked as dropped."""
        self._cut[stream] = min(sequence, self._cut.get(stream, sequence))

    def _unwanted(self, message: Message) -> bool:
        return message.sequence >= self._cut.get(message.stream, message.sequence + 1)

    def run(self, sources: Sequence[Source]) -> Generator[Message]:
        """Read the sources one after another.

        Yields:
            Begin, Items and End of each stream in order, stream after stream. A Failure in place of any of them is the
            last message of its stream.

        Raises:
            ConfigError: two sources or stages have one name, or two neighbouring stages several workers each; or this
                runner has run before.
            EngineError, StageError, …: a stage could not start.
        """
        names = [source.stream for source in sources]
        self._check(names)
        counts = [1, *(stage.workers for stage in self._stages), 1]
        links = [
            Link(f"{i}", senders=counts[i], receivers=counts[i + 1], stop=self._abort) for i in range(len(counts) - 1)
        ]
        jobs: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [(DECODER, self._decode, (sources, links[0]))]
        for stage, inbox, outbox in zip(self._stages, links, links[1:], strict=False):
            jobs += [(f"{stage.name}-{n}", self._work, (stage, inbox, outbox)) for n in range(stage.workers)]
        threads = [
            threading.Thread(target=self._guard, args=(job, args), name=name, daemon=True) for name, job, args in jobs
        ]
        cores = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the stages' own threads fill the machine
        for thread in threads:
            thread.start()
        try:
            yield from self._deliver(links[-1], names)
        finally:
            self._abort.set()
            decoder, *workers = threads
            for thread in workers:
                thread.join()
            decoder.join(PATIENCE)
            if decoder.is_alive():
                log.warning("the source does not answer; its thread ends when it does")
                threading.Thread(target=_close_after, args=(decoder, links.pop(0)), daemon=True).start()
            for link in links:
                link.close()
            cv2.setNumThreads(cores)
            self.ledger.drop_in_flight("stopped")

    def _check(self, streams: Sequence[str]) -> None:
        if self._started:
            raise ConfigError("this Runner has run: make a new one for each run")
        self._started = True
        stages = [DECODER, *(stage.name for stage in self._stages), self._last]
        for what, names in (("streams", streams), ("stages", stages)):
            if len(set(names)) < len(names):
                raise ConfigError(f"two {what} have the same name in {', '.join(names)}: name them apart")
        for a, b in pairwise(self._stages):
            if a.workers > 1 and b.workers > 1:
                raise ConfigError(f"{a.name} and {b.name} both have several workers: one of two neighbours has 1")

    def _guard(self, job: Callable[..., None], args: tuple[object, ...]) -> None:
        """Run a thread's job; an error that is no frame's fault ends the run and is raised where it is iterated."""
        try:
            job(*args)
        except Stopped:
            log.debug("%s stopped", threading.current_thread().name)
        except BaseException as error:
            self._crash = self._crash or error
            self._abort.set()

    def _decode(self, sources: Sequence[Source], outbox: Link) -> None:
        with outbox.sender() as sender:
            for source in sources:
                self._decode_one(source, sender)

    def _decode_one(self, source: Source, sender: Sender) -> None:
        stream, sequence, begun = source.stream, 0, False
        if self._halt.is_set():
            sender.send(End(stream, sequence, whole=False))
            return
        try:
            with source.open() as reader:
                sender.send(Begin(stream, sequence, reader.about))
                begun = True
                for frame in self._read(reader, stream):
                    sequence += 1
                    self._enter(stream, sequence)
                    sender.send(Item(sequence, frame))
                end = End(stream, sequence + 1, not self._halt.is_set(), tuple(getattr(reader, "notes", ())))
        except Stopped:
            raise
        except Exception as error:  # whatever a source raises ends its own stream only
            log.debug("%s failed", stream, exc_info=True)
            sender.send(Failure(stream, sequence + 1 if begun else 0, DECODER, one_line(error)))
        else:
            sender.send(end)

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

    def _work(self, stage: Stage, inbox: Link, outbox: Link) -> None:
        order = Reorder() if stage.workers == 1 else None
        with stage.open() as process, inbox.receiver() as receiver, outbox.sender() as sender:
            while True:
                deliveries = [receiver.receive(), *receiver.receive_waiting(stage.batch - 1)]
                if order:
                    deliveries = [due for early in deliveries for due in order.push(early)]
                for message in self._process(stage, process, deliveries):
                    sender.send(message)

    def _process(self, stage: Stage, process: Process, deliveries: list[Delivery]) -> list[Message]:
        """The stage's results for what was delivered; whatever is no frame passes through in its place."""
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
        except Exception as error:
            if len(work) > 1:  # find the frame that is to blame
                return [m for d in deliveries for m in self._process(stage, process, [d])]
            return [self._failure(stage, work[0], error) if m is work[0] else m for m in messages]
        waited = [started - d.ready for d in deliveries if isinstance(d.message, Item)]
        self.meter.worked(stage.name, len(work), waited, time.monotonic() - started)
        return [done.get(_place(m), m) for m in messages]

    def _failure(self, stage: Stage, item: Item, error: Exception) -> Failure:
        log.debug("%s failed", stage.name, exc_info=error)
        self.abandon(item.stream, item.sequence)
        self._leave(item.stream, item.sequence, "failed")
        return Failure(item.stream, item.sequence, stage.name, f"frame {item.frame.index}: {one_line(error)}")

    def _deliver(self, inbox: Link, streams: Sequence[str]) -> Iterator[Message]:
        """Stream after stream in the order of the sources, each in its own order, up to its end or failure."""
        order = Reorder()
        turns = deque(streams)
        waiting: dict[str, deque[Delivery]] = {stream: deque() for stream in streams}
        failed: set[str] = set()
        with inbox.receiver() as receiver:
            while turns:
                try:
                    due = order.push(receiver.receive())
                except Stopped:
                    if self._crash:
                        raise self._crash from None
                    return
                for delivery in due:
                    waiting[delivery.message.stream].append(delivery)
                while turns and waiting[turns[0]]:
                    delivery = waiting[turns[0]].popleft()
                    message = delivery.message
                    if isinstance(message, Item):
                        yield from self._hand_out(message, delivery.ready)
                        continue
                    if message.stream not in failed:
                        yield message
                    if isinstance(message, Failure):
                        failed.add(message.stream)
                    if isinstance(message, End) or (isinstance(message, Failure) and message.where == DECODER):
                        turns.popleft()

    def _hand_out(self, item: Item, ready: float) -> Iterator[Message]:
        if self._unwanted(item):
            self._leave(item.stream, item.sequence, "failed")
            return
        started = time.monotonic()
        yield item
        now = time.monotonic()
        self.meter.worked(self._last, 1, [started - ready], now - started)
        if self._unwanted(item):  # the caller could not use it
            self._leave(item.stream, item.sequence, "failed")
            return
        self.meter.finished(now - item.frame.arrival)
        self._leave(item.stream, item.sequence, None)

    def _enter(self, stream: str, sequence: int) -> None:
        while not self._room.acquire(timeout=0.05):
            if self._abort.is_set():
                raise Stopped
        self.ledger.decoded(stream, sequence)

    def _leave(self, stream: str, sequence: int, cause: str | None) -> None:
        if cause is None:
            self.ledger.annotated(stream, sequence)
        else:
            self.ledger.dropped(stream, sequence, cause)
        self._room.release()


def _close_after(thread: threading.Thread, link: Link) -> None:
    thread.join()
    link.close()


def _place(message: Message) -> tuple[str, int]:
    return message.stream, message.sequence


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
