"""A crew: the threads that open a stage for hubs elsewhere, and do what these send."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.errors import one_line
from watchline.pipeline.remote.codec import pack_results, unpack
from watchline.pipeline.remote.protocol import Done, Failed, Malformed, Where, Work, encode
from watchline.pipeline.remote.ring import Inherited, Slot
from watchline.pipeline.stages.stage import Process, Stage

log = logging.getLogger(__name__)

LONGEST_WHY = 2000  # letters

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Job:
    """A request of a hub, whose address is `peer`, with its parts."""

    peer: bytes
    work: Work
    parts: tuple[Bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to `peer`."""

    peer: bytes
    header: bytes
    parts: tuple[Bytes, ...] = ()


class Crew:
    """Opens a stage in as many threads as it has workers.

    Args:
        stage: its settings.
        ring: where requests have their parts if a hub shares memory with this process.
        answer: called in these threads with each answer.
        changed: called in these threads when `state` has changed.

    Attributes:
        state: "opening", until every worker is open; "failed", if one could not.
        why: of a failure, in one line.
        malformed: requests that made no sense.
    """

    def __init__(
        self, stage: Stage, ring: Inherited | None, answer: Callable[[Answer], None], changed: Callable[[], None]
    ) -> None:
        self.stage = stage
        self.state: Literal["opening", "open", "failed"] = "opening"
        self.why = ""
        self.malformed = 0
        self._ring = ring
        self._answer, self._changed = answer, changed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed_doors = stage.workers  # that have not opened yet
        self._threads = [
            threading.Thread(target=self._work, name=f"{stage.name}-{n}", daemon=True) for n in range(stage.workers)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Have a request done; its answer comes by `answer`."""
        self._jobs.put(job)

    def dismiss(self) -> None:
        """Have the threads end, each after what it does."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, timeout: float) -> bool:
        """Wait so many seconds for the threads to end. Returns whether all have."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        try:
            with self.stage.open() as process:
                self._opened()
                while (job := self._jobs.get()) is not None:
                    self._answer(self._do(process, job))
                    del job  # its pixels are the hub's again
        except Exception as error:  # whatever a stage raises when it opens or closes
            log.debug("%s failed", self.stage.name, exc_info=True)
            self._failed(one_line(error)[:LONGEST_WHY])

    def _opened(self) -> None:
        with self._lock:
            self._closed_doors -= 1
            if self._closed_doors == 0 and self.state == "opening":
                self.state = "open"
        self._changed()

    def _failed(self, why: str) -> None:
        with self._lock:
            self.why = self.why or why
            self.state = "failed"
        self._changed()

    def _do(self, process: Process, job: Job) -> Answer:
        """The answer to a request, whatever happens with it."""
        work = job.work
        try:
            slot, parts = self._parts(job)
            items = unpack(work.items, parts)
            results, found = pack_results(items, process(items), work.quality)
            if slot is None or work.where is None:
                return Answer(job.peer, encode(Done(work.id, results)), tuple(found))
            end = max((offset + length for offset, length in work.where.places), default=0)
            return Answer(job.peer, encode(Done(work.id, results, Where(slot.number, slot.write(found, end)))))
        except Malformed as error:
            self.malformed += 1
            why = str(error)
        except Exception as error:  # the fault of these items; the next may be good
            log.debug("%s failed on a request", self.stage.name, exc_info=True)
            why = one_line(error)
        return Answer(job.peer, encode(Failed(work.id, why[:LONGEST_WHY])))

    def _parts(self, job: Job) -> tuple[Slot | None, tuple[Bytes, ...]]:
        """The slot that a request is in, if it is in one, and its parts."""
        where = job.work.where
        if where is None:
            return None, job.parts
        if self._ring is None or job.parts:
            raise Malformed("a request in shared memory that is not there")
        try:
            slot = self._ring.slot(where.slot)
            return slot, slot.read(where.places)
        except ValueError as error:
            raise Malformed(str(error)) from None
