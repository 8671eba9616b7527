"""The gate: where decoded frames wait for the first stage, and where a live stream's old frames give way to new ones.

Each stream has a mailbox. A file waits while its box holds `depth` frames: nothing is lost. A camera never waits: its
box holds one frame, and a newer one takes its place (cause "newer"). The boxes are handed to the workers one after
another, in the order in which they were filled, over a link: a stream has one turn, and then the others have theirs, so
none starves another.

What goes through the gate gets its sequence number here, so that dropped frames leave no hole in the numbers.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Link, Stopped
from watchline.pipeline.message import Dropped, Item, Message

NEWER, LATE = "newer", "late"  # causes of drops
WAIT = 0.05  # seconds between looks at whether the run was stopped

Put = Callable[[Message], None]


class Box:
    """The messages of one stream that wait."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.waiting: deque[Delivery[Message]] = deque()
        self.passed = 0

    @property
    def frames(self) -> int:
        """How many of the messages are frames."""
        return sum(isinstance(delivery.message, Item) for delivery in self.waiting)

    def take(self, all_of_it: bool) -> list[Delivery[Message]]:
        """The first message, or all of them, numbered."""
        taken: list[Delivery[Message]] = []
        while self.waiting and (all_of_it or not taken):
            delivery = self.waiting.popleft()
            taken.append(Delivery(replace(delivery.message, sequence=self.passed), delivery.ready))
            self.passed += 1
        return taken


class Gate:
    """Between the decoders and the workers of the first stage.

    Args:
        ledger: where frames are booked as they come and as they are dropped here.
        depth: frames of a file that may wait.
        room: frames that may be beyond the gate at once; `leave` gives their places back.
        stop: when set, everybody who waits raises Stopped.
    """

    def __init__(self, ledger: Ledger, depth: int, room: int, stop: threading.Event) -> None:
        self._ledger = ledger
        self._depth = depth
        self._room = threading.Semaphore(room)
        self._stop = stop
        self._changed = threading.Condition()
        self._link: Link[tuple[Box, bool]] = Link("gate", stop, depth + 2)

    @contextmanager
    def entrance(self, stream: str, live: bool) -> Iterator[Put]:
        """Yields the function that hands over the messages of a stream; for one thread at a time.

        It raises Stopped where it would have to wait, or has waited, when the run is stopped.
        """
        box = Box(stream)
        with self._link.sender() as sender:

            def put(message: Message) -> None:
                with self._changed:
                    first = not box.waiting
                    if not live:
                        self._wait_for_room(box, message)
                    self._add(box, message)
                if first or not live:  # a camera's box is in the queue once, a file's once for each message
                    sender.send((box, live))

            yield put

    def receive(self, limit: int = 1) -> list[Delivery[Message]]:
        """What is next, waiting for it: a file's next message, or all that a camera has waiting; and more, up to
        `limit` frames, if those wait already.

        Raises:
            Stopped: the run was stopped.
        """
        while not self._room.acquire(timeout=WAIT):
            self._check()
        taken = self._take(*self._link.receive()[0].message)
        frames = sum(isinstance(delivery.message, Item) for delivery in taken)
        while 0 < frames < limit and self._room.acquire(blocking=False):
            ready = self._link.receive_waiting(1)
            if not ready:
                self._room.release()
                break
            more = self._take(*ready[0].message)
            frames += sum(isinstance(delivery.message, Item) for delivery in more)
            taken += more
        return taken

    def leave(self) -> None:
        """A frame beyond the gate has reached the end of its way."""
        self._room.release()

    def close(self) -> None:
        """Free everything. All entrances are closed before."""
        self._link.close()

    def _take(self, box: Box, live: bool) -> list[Delivery[Message]]:
        """For one place in the room, which is given back if it is not needed."""
        with self._changed:
            self._drop_late(box)
            taken = box.take(all_of_it=live)
            self._changed.notify_all()
        if not any(isinstance(delivery.message, Item) for delivery in taken):
            self._room.release()
        return taken

    def _wait_for_room(self, box: Box, message: Message) -> None:
        while isinstance(message, Item) and box.frames >= self._depth:
            self._changed.wait(WAIT)
            self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _add(self, box: Box, message: Message) -> None:
        if isinstance(message, Item):
            self._ledger.decoded(box.stream, message.frame.index)
            if message.deadline is not None:
                self._drop(box, NEWER, lambda waiting: True)
        if isinstance(message, Dropped):
            self._ledger.missed(box.stream, message.frames, message.cause)
        box.waiting.append(Delivery(message, time.monotonic()))
        _join(box.waiting)

    def _drop_late(self, box: Box) -> None:
        self._drop(box, LATE, lambda waiting: waiting.late)

    def _drop(self, box: Box, cause: str, which: Callable[[Item], bool]) -> None:
        """A frame that waits, if it is such a one, becomes a line about its loss."""
        for place, delivery in enumerate(box.waiting):
            message = delivery.message
            if isinstance(message, Item) and which(message):
                self._ledger.dropped(box.stream, message.frame.index, cause)
                loss = Dropped(box.stream, 0, cause, 1, message.frame.epoch or 0)
                box.waiting[place] = Delivery(loss, delivery.ready)
                _join(box.waiting)
                return


def _join(waiting: deque[Delivery[Message]]) -> None:
    """Neighbouring losses of one cause and epoch become one."""
    joined: list[Delivery[Message]] = []
    for delivery in waiting:
        last = joined[-1].message if joined else None
        this = delivery.message
        if (
            isinstance(last, Dropped)
            and isinstance(this, Dropped)
            and (last.cause, last.epoch) == (this.cause, this.epoch)
        ):
            joined[-1] = Delivery(replace(this, frames=last.frames + this.frames), delivery.ready)
        else:
            joined.append(delivery)
    waiting.clear()
    waiting.extend(joined)
