"""How often what happened in each hour, by name and class: for the report of a run and for `[sinks.hourly]`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from watchline.pipeline.message import Item, Message

KEPT = 31 * 24  # hours that are kept of a stream: it may run for years


class Counted(NamedTuple):
    """By which keys of their data the events of one name are counted.

    Attributes:
        name: of the thing at which it happened, e.g. of a line.
        what: happened there, e.g. "in".
        label: the class of who it was.
        mean: of a number whose mean is reported, over the events that have it; empty where there is none.
    """

    name: str
    what: str
    label: str
    mean: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """How often something happened in an hour.

    Attributes:
        hour: its beginning: of a camera in UTC, 2026-11-23T06:00Z; of a file since it begins, 00:00.
        event: e.g. "line".
        name, what, label: as `Counted` says, e.g. "sill", "in", "person".
        count: how often.
        mean: of the number, e.g. of the seconds that they stayed; None where there is none.
    """

    hour: str
    event: str
    name: str
    what: str
    label: str
    count: int
    mean: float | None = None


class Counts:
    """Counts the events of a stream.

    Args:
        counted: by which keys, for each name of an event.
    """

    def __init__(self, counted: Mapping[str, Counted]) -> None:
        self._counted = counted
        self._hour = ""
        self._sums: dict[
            str, dict[tuple[str, ...], tuple[int, float | None]]
        ] = {}  # how many, and the sum of their numbers

    def take(self, message: Message) -> None:
        """Count what a message says to have happened. What is said at the end of a stream is of its last hour."""
        if isinstance(message, Item):
            self._hour = hour_of(message)
        for event in message.events:
            keys = self._counted.get(event.name)
            if keys is None:
                continue
            kind = (event.name, *(str(event.data.get(key, "")) for key in keys[:3]))
            sums = self._sums.setdefault(self._hour, {})
            many, total = sums.get(kind, (0, None))
            if keys.mean in event.data:
                total = (total or 0.0) + float(event.data[keys.mean])
            sums[kind] = many + 1, total
        while len(self._sums) > KEPT:
            del self._sums[next(iter(self._sums))]

    def all(self) -> list[Count]:
        """The counts of all hours that are kept."""
        return [count for hour in self._sums for count in self._of(hour)]

    def take_out(self, is_over: bool) -> list[Count]:
        """The counts of the hours before this one, or of all if the stream is over; they are counted no longer."""
        hours = [hour for hour in self._sums if is_over or hour != self._hour]
        counts = [count for hour in hours for count in self._of(hour)]
        for hour in hours:
            del self._sums[hour]
        return counts

    def _of(self, hour: str) -> Iterable[Count]:
        for (event, name, what, label), (many, total) in sorted(self._sums[hour].items()):
            yield Count(hour, event, name, what, label, many, None if total is None else round(total / many, 3))


def hour_of(item: Item) -> str:
    """The hour of a frame, as `Count` has it."""
    if item.frame.time is not None:
        return f"{datetime.fromtimestamp(item.frame.time, UTC):%Y-%m-%dT%H:00Z}"
    return f"{int(max(item.frame.seconds, 0)) // 3600:02d}:00"


def in_words(counts: Iterable[Count]) -> list[str]:
    """A line for each thing, over all hours: `line sill: in 4 person, 1 car; out 2 person`."""
    sums: dict[tuple[str, str], dict[str, dict[str, tuple[int, float | None]]]] = {}
    for one in counts:
        labels = sums.setdefault((one.event, one.name), {}).setdefault(one.what, {})
        many, mean = labels.get(one.label, (0, one.mean))
        if mean is not None and one.mean is not None:
            mean = (many * mean + one.count * one.mean) / (many + one.count)
        labels[one.label] = many + one.count, mean
    return [
        f"{event} {name}: "
        + "; ".join(
            f"{what} " + ", ".join(f"{many} {label}{_mean(mean)}" for label, (many, mean) in labels.items())
            for what, labels in whats.items()
        )
        for (event, name), whats in sums.items()
    ]


def _mean(mean: float | None) -> str:
    return "" if mean is None else f" (mean {mean:.1f} s)"
