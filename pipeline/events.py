"""The events of a stream as lines of JSON, made once for all sinks.

A frame's line has a part for each kind of result that says how it looks as JSON; what stages have seen to happen stands
in lines of its own behind it. docs/events.schema.json describes the lines of our own stages, `watchline schema` those
of any chain.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from watchline.pipeline.message import Dropped, Event, Item, Message, State
from watchline.pipeline.stages.stage import Stage
from watchline.streams.write.jsonl import dropped_line, event_line, frame_line, state_line
from watchline.version import VERSION

TELL = 1.0  # seconds after which a row of losses is written, though it goes on


class EventLines:
    """Makes the lines of one stream's messages.

    Args:
        conceal: takes secrets out of a text.
    """

    def __init__(self, conceal: Callable[[str], str] = str) -> None:
        self._conceal = conceal
        self._untold: Dropped | None = None

    def of(self, message: Message) -> Iterator[tuple[Message, list[bytes]]]:
        """A message as sinks take it, with the lines that it adds; before it the losses that were not written so far.

        Losses of one cause in a row become one message with one line, at most once per second.

        Raises:
            ValueError: a result or an event is not JSON, e.g. a score that is NaN.
        """
        last = self._untold
        if isinstance(message, Dropped):
            same = last is not None and (last.cause, last.epoch) == (message.cause, message.epoch)
            if last is not None and same and message.time - last.time <= TELL:
                frames, events = last.frames + message.frames, (*last.events, *message.events)
                self._untold = replace(last, frames=frames, events=events)
                return
        if last is not None:
            self._untold = None
            line = dropped_line(last.stream, last.cause, last.frames, last.epoch, last.time)
            yield last, [*(_of_event(last.stream, event, last.epoch) for event in last.events), line]
        if isinstance(message, Dropped):
            self._untold = message
        else:
            yield message, self._lines(message)

    def _lines(self, message: Message) -> list[bytes]:
        if isinstance(message, Item):
            return list(_of_item(message))
        lines = [_of_event(message.stream, event, getattr(message, "epoch", None)) for event in message.events]
        if isinstance(message, State):
            why = None if message.why is None else self._conceal(message.why)
            lines.append(state_line(message.stream, message.state, message.epoch, message.time, why, message.retry_in))
        return lines


def header_of(
    source: str, stream: str, stages: Sequence[Stage], about: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What every file of events says of how it was made: all that decides its bytes, and nothing of this machine.

    Args:
        source: what was read, without secrets.
        stages: of the chain.
        about: what ran in each, by its name, as the stage itself says.
    """
    header: dict[str, Any] = {"source": source, "stream": stream, "version": VERSION}
    others: dict[str, Any] = {}
    for stage in stages:
        said, settings = dict(about.get(stage.name, {})), dict(stage.of(stream).recorded())
        if stage.name == "detector":  # as it has been from the beginning
            header |= said | {"config": settings}
        elif said or settings:
            others[stage.name] = said | settings
    return header | ({"stages": others} if others else {})


def _of_item(item: Item) -> Iterable[bytes]:
    frame = item.frame
    said = ((kind.key, kind.as_json(result)) for kind, result in item.results.items() if kind.as_json is not None)
    parts = {key: part for key, part in said if part is not None}
    if parts:
        latency = None if frame.time is None else time.monotonic() - frame.arrival
        yield frame_line(frame, parts, latency, item.late)
    for event in item.events:
        yield event_line(item.stream, event.name, frame.epoch, frame.time, event.data, frame)


def _of_event(stream: str, event: Event, epoch: int | None) -> bytes:
    return event_line(stream, event.name, epoch, None if epoch is None else time.time(), event.data)
