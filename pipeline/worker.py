"""The loop of a stage's workers: messages in, the stage's results out, in every place the same.

Frames go to the stage; all other messages pass by. A stage of order "stream" hears of beginnings and ends, and keeps
nothing of a stream afterwards. A failure costs a live stream its frame, and ends a file.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, cast

from watchline.pipeline.causes import FAILED, LATE
from watchline.pipeline.control import Control
from watchline.pipeline.errors import FrameLost, StageError, StageGone, StateLost, one_line
from watchline.pipeline.link import Delivery
from watchline.pipeline.message import Begin, Dropped, End, Event, Failure, Item, Message, State, closes
from watchline.pipeline.order import Reorder
from watchline.pipeline.stages.stage import Stage, Work, checked, checked_events

log = logging.getLogger(__name__)

Deliveries = list[Delivery[Message]]


class Inbox(Protocol):
    """Where a worker gets its messages from: a link, or the admission."""

    def receive(self, limit: int = 1) -> Deliveries: ...


class Outbox(Protocol):
    """Where it sends them: a link, or several, by stream."""

    def send(self, message: Message, sequence: int) -> None: ...


class _NotBegun(StageError):
    """A stage was not asked, as it could not begin with a stream."""


class Worker:
    """One thread's part in a stage.

    Args:
        stage, work: its settings, and what they have opened into.
        control: of the run.
        ahead: the names of this stage and of those after it.
    """

    def __init__(self, stage: Stage, work: Work, control: Control, ahead: tuple[str, ...]) -> None:
        self._stage = stage
        self._work = work
        self._control = control
        self._ahead = ahead
        self._order = Reorder() if stage.order == "stream" else None
        self._begun: set[str] = set()

    def run(self, inbox: Inbox, outbox: Outbox) -> None:
        """Work until the run is stopped. Raises Stopped."""
        while True:
            deliveries = inbox.receive(self._stage.batch)
            if self._order:
                deliveries = [due for early in deliveries for due in self._order.push(early)]
            for delivery in self._done(deliveries):
                outbox.send(delivery.message, delivery.sequence)

    def _done(self, deliveries: Deliveries) -> Iterator[Delivery[Message]]:
        """What becomes of deliveries, in their order; frames that follow one another are done at once."""
        frames: Deliveries = []
        for delivery in deliveries:
            message = delivery.message
            if isinstance(message, Item) or not self._order:
                frames.append(delivery)
                if not self._order or len(frames) < self._stage.batch:
                    continue
            yield from self._process(frames)
            frames = []
            if not isinstance(message, Item):
                yield replace(delivery, message=self._heard(message))
        yield from self._process(frames)

    def _process(self, deliveries: Deliveries) -> Deliveries:
        deliveries = [replace(d, message=self._in_time(d.message)) for d in deliveries]
        wanted = [
            n for n, d in enumerate(deliveries) if isinstance(d.message, Item) and not self._control.is_unwanted(d)
        ]
        items = [cast(Item, deliveries[n].message) for n in wanted]
        if not items:
            return deliveries
        done: Sequence[Message]
        started = time.monotonic()
        try:
            done = self._call(items)
        except StageGone:
            raise
        except Exception as error:
            # A stage that keeps something of a stream must not be given a frame twice, unless it knows nothing of it.
            if len(items) > 1 and (not self._order or isinstance(error, FrameLost | _NotBegun)):
                return [one for d in deliveries for one in self._process([d])]  # find the frame that is to blame
            done = [self._lost(deliveries[n], error, items) for n in wanted]
        else:
            waited = [started - deliveries[n].ready for n in wanted]
            took = time.monotonic() - started
            self._control.meter.worked(self._stage.name, len(items), waited, took)
            if any(item.deadline is not None for item in items):  # files say nothing of how long a camera's frame takes
                self._control.budget.worked(self._stage.name, took)
        for n, message in zip(wanted, done, strict=True):
            deliveries[n] = replace(deliveries[n], message=message)
        return deliveries

    def _call(self, items: list[Item]) -> list[Item]:
        if self._order and any(item.stream not in self._begun for item in items):
            raise _NotBegun("it could not begin with this stream")
        return checked(self._stage, items, self._work(items))

    def _in_time(self, message: Message) -> Message:
        """A frame that cannot be in time becomes a line about its loss."""
        late = isinstance(message, Item) and self._control.budget.is_late(message, self._ahead)
        return self._control.drop(message, LATE) if isinstance(message, Item) and late else message

    def _heard(self, message: Begin | Dropped | State | End | Failure) -> Message:
        """A message of a stream's course, with what the stage has to say at its end."""
        if isinstance(message, Dropped):
            return message
        if isinstance(message, Begin) or closes(message):
            events = self._ended(message.stream)
            message = replace(message, events=(*message.events, *events)) if events else message
        return self._began(message) if isinstance(message, Begin) else message

    def _began(self, message: Begin) -> Message:
        try:
            self._work.begin(message.stream, message.about, message.epoch)
        except StageGone:
            raise
        except Exception as error:
            return self._not_begun(message, error)
        self._begun.add(message.stream)
        return message

    def _ended(self, stream: str) -> Sequence[Event]:
        """A stream is over, if it has begun. Returns what the stage has to say."""
        if stream not in self._begun:
            return ()
        self._begun.discard(stream)
        try:
            return checked_events(self._stage, self._work.end(stream))
        except StageGone:
            raise
        except Exception as error:
            log.warning("%s: the %s failed at its end: %s", stream, self._stage.name, one_line(error))
            return ()

    def _not_begun(self, message: Begin, error: Exception) -> Message:
        """The stage cannot begin with a stream: a camera's frames fail one by one, a file ends here."""
        self._control.complain(self._stage.name, message.stream, f"at its beginning: {one_line(error)}")
        if message.epoch is not None:
            return message
        self._control.abandon(message.stream)
        return Failure(message.stream, self._stage.name, one_line(error), message.events)

    def _lost(self, delivery: Delivery[Message], error: Exception, items: Sequence[Item]) -> Message:
        """The stage has failed on items, and this is one of them: a live stream goes on without it, a file ends."""
        item = delivery.message
        assert isinstance(item, Item), "only frames are worked on"
        log.debug("%s failed", self._stage.name, exc_info=error)
        if self._control.is_unwanted(delivery):  # a file that ended at an earlier one of the items
            return item
        if item.deadline is None:
            self._control.abandon(item.stream, delivery.sequence)
            self._control.drop(item, FAILED)
            why = f"{_named(item.stream, items)}: {one_line(error)}"
            return Failure(item.stream, self._stage.name, why, tuple(self._ended(item.stream)))
        if isinstance(error, StateLost):
            self._control.renew(item, one_line(error))
        if isinstance(error, FrameLost):
            return self._control.drop(item, error.cause)
        where = f"on {_named(item.stream, items)}"
        self._control.complain(self._stage.name, item.stream, f"{where}: {one_line(error)}")
        return self._control.drop(item, FAILED)


def _named(stream: str, items: Sequence[Item]) -> str:
    """The frames of a stream among items, in words."""
    frames = [item.frame.index for item in items if item.stream == stream]
    return f"frame {frames[0]}" if len(frames) == 1 else f"frames {frames[0]} to {frames[-1]}"
