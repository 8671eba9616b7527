"""The server's worker pool: the threads that open a stage and work on the requests of its clients."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.errors import StageError, one_line
from watchline.pipeline.remote.codec import Kinds, pack_events, pack_results, unpack, unpack_about
from watchline.pipeline.remote.protocol import (
    Course,
    Done,
    Failed,
    Heard,
    Malformed,
    Message,
    PartsInSlot,
    WorkRequest,
    encode,
)
from watchline.pipeline.remote.ring import Inherited, Slot
from watchline.pipeline.stages.stage import Stage, Work, checked, checked_events, work_of

log = logging.getLogger(__name__)

LONGEST_WHY = 2000  # letters of a refusal or a failure

Bytes = NDArray[np.uint8]


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """A request of the client at `peer`, with its parts.

    Attributes:
        parts: None when it is done, or nobody waits for it any more.
        nbytes: that arrived with it.
    """

    peer: bytes
    request: WorkRequest | Course
    parts: tuple[Bytes, ...] | None
    nbytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request."""

    job: QueuedRequest
    header: bytes
    parts: tuple[Bytes, ...] = ()


class WorkerPool:
    """Opens a stage, and runs as many threads as it has workers.

    Args:
        stage: its settings.
        kinds: of the results that may come with the items, by key.
        ring: the memory of the requests' parts, if the client shares memory with this process.
        answer: called in the pool's threads with each answer.
        changed: called in the pool's threads when `state` has changed.

    Attributes:
        state: "opening", then "open"; "failed", if it could not be opened.
        why: of a failure, in one line.
        about: what runs here, once it is open.
        malformed: requests that made no sense.
    """

    def __init__(
        self,
        stage: Stage,
        kinds: Kinds,
        ring: Inherited | None,
        answer: Callable[[Reply], None],
        changed: Callable[[], None],
    ) -> None:
        self.stage, self.kinds = stage, kinds
        self.state: Literal["opening", "open", "failed"] = "opening"
        self.why = ""
        self.about: Mapping[str, Any] = {}
        self.malformed = 0
        self._ring = ring
        self._answer, self._changed = answer, changed
        self._jobs: queue.SimpleQueue[QueuedRequest | None] = queue.SimpleQueue()
        self._count = 1 if stage.order == "stream" else stage.workers
        self._thread = threading.Thread(target=self._run, name=f"{stage.name}-0", daemon=True)
        self._thread.start()

    def put(self, job: QueuedRequest) -> None:
        """Put a request into the queue; `answer` gets its answer."""
        self._jobs.put(job)

    def dismiss(self) -> None:
        """Have the threads end, each after its present request."""
        for _ in range(self._count):
            self._jobs.put(None)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the threads to end. Returns whether all have."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Open the stage, and be the first worker."""
        try:
            with self.stage.open() as opened:
                work = work_of(opened)
                self.about = self._checked_about(work)
                self._become("open")
                others = [
                    threading.Thread(target=self._serve, args=(work,), name=f"{self.stage.name}-{n}", daemon=True)
                    for n in range(1, self._count)
                ]
                for thread in others:
                    thread.start()
                self._serve(work)
                for thread in others:
                    thread.join()
        except (Exception, SystemExit) as error:  # whatever a stage raises when it opens or closes
            log.debug("%s failed", self.stage.name, exc_info=True)
            self.why = self.why or one_line(error)[:LONGEST_WHY]
            self._become("failed")

    def _checked_about(self, work: Work) -> Mapping[str, Any]:
        about = dict(work.about)
        try:
            json.dumps(about, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StageError(f"what the {self.stage.name} says of itself is not JSON: {error}") from None
        return about

    def _become(self, state: Literal["open", "failed"]) -> None:
        self.state = state
        self._changed()

    def _serve(self, work: Work) -> None:
        while (job := self._jobs.get()) is not None:
            parts = job.parts
            if parts is not None:
                answer = self._do(work, job, parts)
                job.parts = parts = None  # the answer may wait long for room
                self._answer(answer)
            del job, parts  # the pixels belong to the client again

    def _do(self, work: Work, job: QueuedRequest, parts: tuple[Bytes, ...]) -> Reply:
        """The answer to a request, also where the stage fails."""
        try:
            if isinstance(job.request, Course):
                return Reply(job, encode(self._hear(work, job.request)))
            return self._answer_to(work, job, job.request, parts)
        except Malformed as error:
            self.malformed += 1
            why = str(error)
        except (Exception, SystemExit) as error:  # these items are to blame; the next may be good
            log.debug("%s failed on a request", self.stage.name, exc_info=True)
            why = one_line(error)
        return Reply(job, encode(Failed(job.request.id, why[:LONGEST_WHY])))

    def _hear(self, work: Work, course: Course) -> Message:
        """A stream begins or ends."""
        if course.about is None:
            return Heard(course.id, pack_events(checked_events(self.stage, work.end(course.stream))))
        work.begin(course.stream, unpack_about(course.about), course.epoch)
        return Heard(course.id)

    def _answer_to(self, work: Work, job: QueuedRequest, request: WorkRequest, arrived: tuple[Bytes, ...]) -> Reply:
        slot, parts = self._parts(request, arrived)
        items = unpack(request.items, parts, self.kinds)
        results, found = pack_results(items, checked(self.stage, items, work(items)), request.quality)
        if slot is None or request.where is None:
            return Reply(job, encode(Done(request.id, results)), tuple(found))
        end = max((offset + length for offset, length in request.where.spans), default=0)
        return Reply(job, encode(Done(request.id, results, PartsInSlot(slot.number, slot.write(found, end)))))

    def _parts(self, request: WorkRequest, arrived: tuple[Bytes, ...]) -> tuple[Slot | None, tuple[Bytes, ...]]:
        """The slot of a request, if it is in shared memory, and its parts."""
        where = request.where
        if where is None:
            return None, arrived
        if self._ring is None or arrived:
            raise Malformed("a request in shared memory that is not there")
        try:
            slot = self._ring.slot(where.slot)
            return slot, slot.read(where.spans)
        except ValueError as error:
            raise Malformed(str(error)) from None
