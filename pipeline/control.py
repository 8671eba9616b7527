"""What the threads of a run share: which frames are still wanted, what is booked of them, and whether to go on."""

import itertools
import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from watchline.pipeline.admission import Admission
from watchline.pipeline.budget import Budget
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery
from watchline.pipeline.message import Dropped, Item, Message
from watchline.pipeline.meter import Meter

if TYPE_CHECKING:
    from watchline.pipeline.camera import Camera

log = logging.getLogger(__name__)

REMINDER = 3600.0  # seconds between log lines about a latency budget that is impossible
SILENCE = 60.0  # seconds between log lines about one part that fails on one stream


class Control:
    """Shared by all threads of a run.

    Attributes:
        ledger, meter, budget: of this run.
        admission: once it is open.
        halt: read no further; what was decoded goes through the chain.
        abort: leave everything.
        cameras: the live sources, by stream.
    """

    admission: Admission
    _is_mixed: bool

    def __init__(self, meter: Meter, budget: Budget) -> None:
        self.ledger = Ledger()
        self.meter = meter
        self.budget = budget
        self.halt = threading.Event()
        self.abort = threading.Event()
        self.cameras: dict[str, Camera] = {}
        self._numbers: dict[str, int] = {}  # of the streams that are open
        self._next = itertools.count(), itertools.count()  # of files, and of cameras
        self._closed: set[str] = set()  # streams that are read no further
        self._cut: dict[str, int] = {}  # stream -> number of the first of its frames that is not wanted
        self._complained: dict[tuple[str, str], float] = {}
        self._warned = -math.inf

    def open(self, room: int, reach: int, is_mixed: bool) -> None:
        """Let messages in. Args: as Admission has them; is_mixed, whether there are cameras and files."""
        self._is_mixed = is_mixed
        self.admission = Admission(self.ledger, room, reach, self.abort)

    def register(self, stream: str, is_live: bool) -> None:
        """A stream is about to begin."""
        self._numbers[stream] = 2 * next(self._next[is_live]) + is_live if self._is_mixed else next(self._next[0])

    def number_of(self, stream: str) -> int:
        """The same for a stream as long as it is open, so that its messages always go to the same worker.

        Where there are cameras and files, those of cameras are odd: with an even number of workers, none has both.
        """
        return self._numbers[stream]

    def is_unwanted(self, delivery: Delivery[Message]) -> bool:
        """Whether its stream was given up before it."""
        return delivery.sequence >= self._cut.get(delivery.message.stream, delivery.sequence + 1)

    def is_given_up(self, stream: str) -> bool:
        """Whether any of its frames is not wanted: there is no use in reading on."""
        return stream in self._cut

    def close(self, stream: str) -> None:
        """Read a stream no further; what was decoded goes through the chain."""
        self._closed.add(stream)
        if stream in self.cameras:
            self.cameras[stream].stop()

    def is_closed(self, stream: str) -> bool:
        """Whether a stream, or every one, is to be read no further."""
        return self.halt.is_set() or stream in self._closed

    def abandon(self, stream: str, sequence: int = 0) -> None:
        """Go on without a stream from a number on; its frames under way are booked as dropped."""
        if stream not in self._numbers:  # it is over
            return
        self._cut[stream] = min(sequence, self._cut.get(stream, sequence))
        if stream in self.cameras:
            self.cameras[stream].stop()

    def renew(self, item: Item, why: str) -> None:
        """Have the epoch of a camera's frame begin anew, as a stage has lost what it knew of it."""
        camera = self.cameras.get(item.stream)
        if camera is not None:
            camera.renew(item.frame.epoch or 0, why)

    def forget(self, stream: str) -> None:
        """A stream is over."""
        self.admission.forget(stream)
        self.cameras.pop(stream, None)
        self._cut.pop(stream, None)
        self._numbers.pop(stream, None)
        self._closed.discard(stream)
        for key in [key for key in self._complained if key[1] == stream]:
            self._complained.pop(key, None)

    def drop(self, item: Item, cause: str) -> Dropped:
        """A frame goes no further than the stages."""
        self.admission.leave()
        self.end(item, cause)
        return Dropped(item.stream, cause, 1, item.frame.epoch or 0, events=item.events)

    def hand_over(self, item: Item) -> None:
        """A frame has left the stages, and is on its way to the sinks."""
        self.admission.leave()

    def end(self, item: Item, cause: str | None = None) -> None:
        """A frame was written, or dropped."""
        if cause is None:
            self.ledger.annotated(item.stream, item.frame.index)
            self.meter.finished(time.monotonic() - item.frame.arrival)
        else:
            self.ledger.dropped(item.stream, item.frame.index, cause)
        self.admission.ended(item.stream)

    def warn_of_budget(self) -> None:
        """Tell the log once in a while that most live frames are late."""
        trouble, now = self.budget.trouble(), time.monotonic()
        if trouble and now - self._warned >= REMINDER:
            self._warned = now
            log.warning("%s", trouble)

    def complain(self, where: str, stream: str, text: str) -> None:
        """Tell the log, once a minute for each part and stream: what fails on every frame would fill it."""
        now = time.monotonic()
        if now - self._complained.get((where, stream), -SILENCE) >= SILENCE:
            self._complained[where, stream] = now
            log.warning("%s: the %s failed %s", stream, where, text)
