"""Admission: where decoded frames wait for the first stage, and where a live stream's old frames give way to new ones.

Each stream has a mailbox. A file waits while its mailbox is full: nothing is lost. A camera never waits:
its mailbox holds one frame, and a newer one takes its place (cause "newer"). The mailboxes are handed to the workers
one after another, in the order in which they were filled, over a link: each stream has one turn, and then the others
have theirs, so that none starves another.

Deliveries get their numbers here, after frames were dropped, so that there is no hole in the numbers.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from watchline.pipeline.causes import NEWER
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Link, Stopped
from watchline.pipeline.message import Dropped, Item, Message

DEPTH = 2  # frames of a file
UNFINISHED = 8  # files that are read or written at once, however short they are
WAIT = 0.05  # seconds between looks at whether the run was stopped

Put = Callable[[Message], None]


class Mailbox:
    """The messages of one stream that wait.

    Attributes:
        taken: frames that were taken out and have not reached their end.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.waiting: deque[Delivery[Message]] = deque()
        self.taken = 0
        self._passed = 0

    @property
    def frames(self) -> int:
        """How many of the messages are frames."""
        return sum(isinstance(delivery.message, Item) for delivery in self.waiting)

    def take(self, all_of_it: bool) -> list[Delivery[Message]]:
        """The first message, or all of them, numbered. Frames know when they were taken."""
        taken: list[Delivery[Message]] = []
        while self.waiting and (all_of_it or not taken):
            delivery = self.waiting.popleft()
            message = delivery.message
            if isinstance(message, Item) and message.deadline is not None:
                message = replace(message, taken=time.monotonic())
            taken.append(replace(delivery, message=message, sequence=self._passed))
            self._passed += 1
        return taken


class Admission:
    """Between the decoders and the workers of the first stage.

    Args:
        ledger: where frames are booked as they come and as they are dropped here.
        room: frames that may be in the stages at once; `leave` gives their places back.
        reach: frames of one file that may be under way at once, up to their end, which `ended` tells.
        stop: when set, everybody who waits raises Stopped.

    Attributes:
        depth: frames of a file that may wait. Beside cameras it is one, as each of them has: so all have equal shares.
    """

    def __init__(self, ledger: Ledger, room: int, reach: int, stop: threading.Event) -> None:
        self._ledger = ledger
        self.depth = DEPTH
        self._reach = reach
        self._room = threading.Semaphore(room)
        self._stop = stop
        self._changed = threading.Condition()
        self._mailboxes: dict[str, Mailbox] = {}
        self._files: Counter[str] = Counter()  # that are not finished
        self._link: Link[tuple[Mailbox, bool]] = Link("admission", stop, DEPTH + 2)

    @contextmanager
    def entrance(self, stream: str, live: bool) -> Iterator[Put]:
        """Yields the function that hands over the messages of a stream; for one thread at a time.

        It raises Stopped where it would have to wait, or has waited, when the run is stopped. So does the entrance of a
        file: it waits at its beginning while too many files are not `finished`, and at its end until all was taken, so
        that no frame of the next file takes the room that the end of this one needs.
        """
        mailbox = Mailbox(stream)
        with self._changed:
            while not live and self._files.total() >= UNFINISHED:
                self._wait()
            self._files[stream] += not live
            self._mailboxes[stream] = mailbox
        with self._link.sender() as sender:

            def put(message: Message) -> None:
                with self._changed:
                    first = not mailbox.waiting
                    if not live:
                        self._wait_for_room(mailbox, message)
                    self._add(mailbox, message)
                if first or not live:  # a camera's mailbox is in the queue once, a file's once for each message
                    sender.send((mailbox, live))

            yield put
            with self._changed:
                while not live and mailbox.waiting:
                    self._wait()

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
        """A frame has left the stages."""
        self._room.release()

    def ended(self, stream: str) -> None:
        """A frame was written or dropped. (A stream that is gone has no mailbox any more.)"""
        with self._changed:
            mailbox = self._mailboxes.get(stream)
            if mailbox is not None:
                mailbox.taken -= 1
                self._changed.notify_all()

    def finished(self, stream: str) -> None:
        """All of a stream was written."""
        with self._changed:
            self._files -= Counter([stream])
            self._changed.notify_all()

    def forget(self, stream: str) -> None:
        """Nothing more comes of a stream."""
        with self._changed:
            self._mailboxes.pop(stream, None)

    def close(self) -> None:
        """Free everything. All entrances are closed before."""
        self._link.close()

    def _take(self, mailbox: Mailbox, live: bool) -> list[Delivery[Message]]:
        """For one place in the room, which is given back if it is not needed."""
        with self._changed:
            taken = mailbox.take(all_of_it=live)
            frames = sum(isinstance(delivery.message, Item) for delivery in taken)
            mailbox.taken += frames
            self._changed.notify_all()
        if not frames:
            self._room.release()
        return taken

    def _wait_for_room(self, mailbox: Mailbox, message: Message) -> None:
        while isinstance(message, Item) and (
            mailbox.frames >= self.depth or mailbox.frames + mailbox.taken >= self._reach
        ):
            self._wait()

    def _wait(self) -> None:
        self._changed.wait(WAIT)
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _add(self, mailbox: Mailbox, message: Message) -> None:
        if isinstance(message, Item):
            self._ledger.decoded(mailbox.stream, message.frame.index)
            if message.deadline is not None:
                self._drop_waiting(mailbox)
        if isinstance(message, Dropped):
            self._ledger.missed(mailbox.stream, message.frames, message.cause)
        mailbox.waiting.append(Delivery(message, time.monotonic()))
        join(mailbox.waiting)

    def _drop_waiting(self, mailbox: Mailbox) -> None:
        """The frame that waits, if there is one, becomes a line about its loss."""
        for place, delivery in enumerate(mailbox.waiting):
            message = delivery.message
            if isinstance(message, Item):
                self._ledger.dropped(mailbox.stream, message.frame.index, NEWER)
                loss = Dropped(mailbox.stream, NEWER, 1, message.frame.epoch or 0)
                mailbox.waiting[place] = replace(delivery, message=loss)
                join(mailbox.waiting)
                return


def join(waiting: deque[Delivery[Message]]) -> None:
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
            joined[-1] = replace(delivery, message=replace(this, frames=last.frames + this.frames))
        else:
            joined.append(delivery)
    waiting.clear()
    waiting.extend(joined)
