"""The runner: sources through stages, every stage in its own threads, joined by links.

    runner = Runner([Detector(), Annotator()])
    for message in runner.run(sources):     # Begin, Item, Item, …, End (or Failure), stream after stream
        …

A frame that is handed out has reached its end: it is booked as annotated. Whoever writes frames in threads of their
own takes the deliveries instead, and says of each frame what became of it (lanes.py).
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from watchline.pipeline.budget import Budget
from watchline.pipeline.causes import FAILED, LATE, STOPPED
from watchline.pipeline.control import Control
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.intake import FILES_AT_ONCE, Intake, is_live
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Link, Sender, Stopped
from watchline.pipeline.message import DECODER, End, Failure, Item, Message, is_last
from watchline.pipeline.meter import Meter
from watchline.pipeline.opencv_threads import single_threaded
from watchline.pipeline.order import Reorder
from watchline.pipeline.stages.registry import events_of, kinds_of
from watchline.pipeline.stages.stage import Stage, work_of
from watchline.pipeline.worker import Inbox, Worker
from watchline.streams.source import LiveSource, Source

log = logging.getLogger(__name__)

SPARE_FRAMES = 2  # let in beyond those being worked on: enough that no stage waits for want of frames
LANE = 4  # frames of a file that may wait for their sinks, beyond those in the stages
LATENCY_BUDGET = 0.5  # seconds


class Runner:
    """Runs once.

    Args:
        stages: in the order of the chain.
        sinks: what the report calls those who write the frames, if the run has any.
        latency_budget: seconds after its arrival until which a live frame must be through, or be dropped. Where the
            stages cannot be that fast, frames are late.

    Attributes:
        ledger, meter: of this run; may be read while it runs.
        about: what runs in each stage, by its name, once it is open.
    """

    def __init__(
        self, stages: Sequence[Stage], sinks: Sequence[str] = (), latency_budget: float = LATENCY_BUDGET
    ) -> None:
        self.meter = Meter()
        self.about: dict[str, Mapping[str, Any]] = {}
        self._stages = stages
        self._sinks = sinks
        self.control = Control(self.meter, Budget(latency_budget))
        self._crash: BaseException | None = None
        self._lock = threading.RLock()  # a signal handler may come in between
        self._intake: Intake | None = None
        self._threads: list[threading.Thread] = []
        self._open: deque[str] = deque()  # streams, in the order in which they were added
        self._early: list[Source | LiveSource] = []  # added before the run has begun
        self._has_begun = self._is_over = self._is_kept = self._is_closed = False
        for name in (DECODER, *(stage.name for stage in stages), *sinks):
            self.meter.stage(name, 1)

    @property
    def ledger(self) -> Ledger:
        return self.control.ledger

    def stop(self) -> None:
        """Read no further: what was decoded goes through the chain, streams end properly, `run` ends."""
        self.control.halt.set()
        with self._lock:
            self._is_kept = False
            intake, idle = self._intake, not self._open
        if intake is not None:
            intake.stop()
            if idle:
                self.control.abort.set()
        for stage in self._stages:
            stage.hurry()

    def close(self) -> None:
        """Nothing more is added: the run ends with the streams that are open. For any thread."""
        with self._lock:
            self._is_closed, self._is_kept = True, False
            if self._has_begun and not self._open:
                self.control.abort.set()

    def leave(self) -> None:
        """Leave everything as it is; `run` ends at once. For any thread."""
        self.stop()
        self.control.abort.set()
        for stage in self._stages:
            stage.cancel()

    def settle(self) -> None:
        """`deliveries` has ended, and nothing more will be written: the frames that are still under way are dropped."""
        self.ledger.drop_in_flight(STOPPED)

    def abandon(self, stream: str) -> None:
        """Go on without this stream; its frames under way are booked as dropped."""
        self.control.abandon(stream)

    def add(self, source: Source | LiveSource) -> None:
        """Take a source on, while the run is going on or before. For any thread.

        Raises:
            ConfigError: there is a stream of this name, or the run is over.
        """
        with self._lock:
            if self._is_over or self.control.halt.is_set():
                raise ConfigError(f"{source.stream} cannot be added: the run is over, or is being stopped")
            if source.stream in (*self._open, *(each.stream for each in self._early)):
                raise ConfigError(f"there is a stream {source.stream!r} already: remove it before, or name them apart")
            if self._intake is None or not self._has_begun:
                self._early.append(source)
                return
            self._open.append(source.stream)
            self._count_workers()
            self._intake.add(source)

    def remove(self, stream: str) -> None:
        """End a stream: what was decoded of it goes through the chain. For any thread.

        Raises:
            ConfigError: there is no such stream.
        """
        with self._lock:
            if self._intake is None or stream not in self._open:
                raise ConfigError(f"there is no stream {stream!r}: expected one of {', '.join(self._open) or 'none'}")
            self.control.close(stream)

    def run(self, sources: Sequence[Source | LiveSource], together: bool = False) -> Generator[Message]:
        """Read the sources: one after another, or `together`, as they are if one of them is live.

        Yields:
            the messages of each stream in order: Begin, Items and End; State and Dropped too of live ones. A Failure in
            place of any of them is the last message of its stream. One stream comes after another, or all mixed.

        Raises:
            ConfigError: two sources or stages, or what stages give, have one name; or this runner has run before.
            EngineError, StageError, …: a stage could not start.
        """
        try:
            for delivery in self.deliveries(sources, together):
                if isinstance(delivery.message, Item):
                    self.control.end(delivery.message)
                if isinstance(delivery.message, End | Failure):
                    self.control.admission.finished(delivery.message.stream)
                yield delivery.message
        finally:
            self.settle()

    def deliveries(
        self, sources: Sequence[Source | LiveSource], together: bool = False, kept: bool = False
    ) -> Generator[Delivery[Message]]:
        """What `run` yields, with the time at which it was ready. Who takes an item calls `control.end` when it is
        written, or could not be; and `control.admission.finished` when all of a stream is.

        Args:
            kept: go on while there is no stream, until `stop` or `close`: more may be added.
        """
        with self._lock:
            sources, self._early = [*sources, *self._early], []
            self._check([source.stream for source in sources])
            together = together or any(is_live(source) for source in sources)
            room = 2 * sum(stage.workers * stage.batch for stage in self._stages) + SPARE_FRAMES
            is_mixed = len({is_live(source) for source in sources}) > 1
            reach = max(2, room // FILES_AT_ONCE) if is_mixed else room + LANE  # files leave cameras some room
            self.control.open(room, reach, is_mixed)
            links = self._links()
            halted = self.control.halt.is_set()
            self._is_kept = kept and not halted and not self._is_closed
            intake = Intake(self.control, FILES_AT_ONCE if together else 1, self._guard)
            self._open.extend(source.stream for source in sources)
            self._count_workers()
            self._intake = intake
        with single_threaded(), ExitStack() as leaving:
            leaving.callback(self._leave, links)
            self._start(intake, links)
            if halted:
                intake.stop()
            with self._lock:  # what is added meanwhile is read behind these, as its turn is behind theirs
                late, self._early, self._has_begun = self._early, [], True
                self._open.extend(source.stream for source in late)
                self._count_workers()
                for source in (*sources, *late):
                    intake.add(source)
            yield from self._deliver(links[-1][0] if links else self.control.admission, together)

    def _links(self) -> list[list[Link[Message]]]:
        """Behind each stage the links to the next one: one for all of its workers, or one for each, if each has
        streams of its own. Behind the last stage there is one.
        """
        return [
            [Link(f"{stage.name}-{n}", self.control.abort) for n in range(_inboxes(follower))]
            for stage, follower in itertools.zip_longest(self._stages, self._stages[1:])
        ]

    def _start(self, intake: Intake, links: Sequence[Sequence[Link[Message]]]) -> None:
        inboxes: list[Sequence[Inbox]] = [[self.control.admission], *links]
        self._threads = [
            _thread(f"{stage.name}-0", self._guard, partial(self._run_stage, stage, inbox, outbox))
            for stage, inbox, outbox in zip(self._stages, inboxes, links, strict=False)
        ]
        self._threads.append(_thread("watchdog", self._guard, intake.watch))
        for thread in self._threads:
            thread.start()

    def _run_stage(self, stage: Stage, inboxes: Sequence[Inbox], links: Sequence[Link[Message]]) -> None:
        """Open a stage and run its workers, the first in this thread."""
        if self.control.abort.is_set():
            return
        count = len(inboxes) if stage.order == "stream" else stage.workers
        with stage.open() as opened:
            work = work_of(opened)
            self.about[stage.name] = work.about
            names = [each.name for each in self._stages]
            ahead = tuple(names[names.index(stage.name) :])
            jobs = [
                partial(self._run_worker, Worker(stage, work, self.control, ahead), inboxes[n % len(inboxes)], links)
                for n in range(count)
            ]
            others = [_thread(f"{stage.name}-{n}", self._guard, jobs[n]) for n in range(1, count)]
            try:
                for thread in others:
                    thread.start()
                self._guard(jobs[0])
            finally:
                self.control.abort.set()  # no worker goes on without the others
                _join(others)

    def _run_worker(self, worker: Worker, inbox: Inbox, links: Sequence[Link[Message]]) -> None:
        with ExitStack() as senders:
            worker.run(inbox, _Outlets([senders.enter_context(link.sender()) for link in links], self.control))

    def _guard(self, job: Callable[[], None]) -> None:
        """Run a thread's job; an error that is no frame's fault ends the run and is raised where it is iterated."""
        try:
            job()
        except Stopped:
            log.debug("%s stopped", threading.current_thread().name)
        except BaseException as error:
            self._crash = self._crash or error
            self.control.abort.set()

    def _deliver(self, inbox: Inbox, together: bool) -> Iterator[Delivery[Message]]:
        """What comes out of the last stage, each stream in its own order up to its end or failure; stream after stream
        in the order of the sources, unless they run together.
        """
        order = Reorder()
        waiting: dict[str, deque[Delivery[Message]]] = {}
        failed: set[str] = set()
        while self._goes_on():
            try:
                arrived = inbox.receive()
            except Stopped:
                break
            for delivery in (due for early in arrived for due in order.push(early)):
                waiting.setdefault(delivery.message.stream, deque()).append(delivery)
            for stream in list(waiting) if together else self._in_turn(waiting):
                yield from self._given_out(waiting[stream], failed)
                if not waiting[stream]:
                    del waiting[stream]
        if self._crash:  # also where nothing was to be done by then, as whoever adds files has stopped because of it
            raise self._crash

    def _in_turn(self, waiting: Mapping[str, object]) -> Iterator[str]:
        """The stream whose turn it is, as long as it has something to say; then the next."""
        while self._open and self._open[0] in waiting:
            stream = self._open[0]
            yield stream
            if self._open and self._open[0] == stream:
                return

    def _given_out(self, waiting: deque[Delivery[Message]], failed: set[str]) -> Iterator[Delivery[Message]]:
        while waiting:
            delivery = waiting.popleft()
            message, stream = delivery.message, delivery.message.stream
            if isinstance(message, Item):
                yield from self._handed_over(message, delivery)
                continue
            is_told = stream not in failed
            if isinstance(message, Failure):
                failed.add(stream)
            if is_last(message):
                failed.discard(stream)
                self._forget(stream)  # its name may come again as soon as anybody hears of its end
            if is_told:
                yield delivery

    def _handed_over(self, item: Item, delivery: Delivery[Message]) -> Iterator[Delivery[Message]]:
        if self.control.is_unwanted(delivery):
            self.control.drop(item, FAILED)
        elif self.control.budget.is_late(item):
            yield Delivery(self.control.drop(item, LATE), delivery.ready, delivery.sequence)
        else:
            self.control.hand_over(item)
            self.control.budget.passed(item)
            yield delivery

    def _forget(self, stream: str) -> None:
        with self._lock:
            self._open.remove(stream)
        self.control.forget(stream)

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_over = not self._open and not self._is_kept
            return not self._is_over

    def _leave(self, links: Sequence[Sequence[Link[Message]]]) -> None:
        with self._lock:
            self._is_over = True
        self.leave()
        _join(self._threads)
        if self._intake is not None:
            self._intake.leave()
        for link in itertools.chain(*links):
            link.close()

    def _count_workers(self) -> None:
        """A stage whose workers have streams of their own uses no more of them than there are streams."""
        for stage in self._stages:
            most = len(self._open) if stage.order == "stream" else stage.workers
            self.meter.use(stage.name, min(stage.workers, most))

    def _check(self, streams: Sequence[str]) -> None:
        if self._intake is not None:
            raise ConfigError("this Runner has run: make a new one for each run")
        stages = [DECODER, *(stage.name for stage in self._stages), *self._sinks]
        for what, names in (("streams", streams), ("stages or sinks", stages)):
            if len(set(names)) < len(names):
                raise ConfigError(f"two {what} have the same name in {', '.join(names)}: name them apart")
        kinds_of(self._stages)
        events_of(self._stages)


class _Outlets:
    """Sends a stream's messages always the same way."""

    def __init__(self, senders: Sequence[Sender[Message]], control: Control) -> None:
        self._senders = senders
        self._control = control

    def send(self, message: Message, sequence: int) -> None:
        number = self._control.number_of(message.stream) if len(self._senders) > 1 else 0
        self._senders[number % len(self._senders)].send(message, sequence)


def _inboxes(stage: Stage | None) -> int:
    """How many links lead to a stage that is not the first."""
    return stage.workers if stage is not None and stage.order == "stream" else 1


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        if thread.ident is not None:  # it was started
            thread.join()


def _thread(name: str, target: Callable[[Callable[[], None]], None], job: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, args=(job,), name=name, daemon=True)
