"""Who is in a zone, since when, and who loiters there. Times count, not frames.

A track is in a zone once its anchor has been inside for as long as the zone's inertia, and has left once it was outside
for so long: a box that flickers at the edge neither enters nor leaves. Who was inside in one frame alone is not in it.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

SOON = 1e-6  # seconds: times are sums of fractions


class Change(NamedTuple):
    """A track enters a zone, loiters there, or has left it.

    Attributes:
        state: which of them.
        since: when it was first inside, in seconds.
        until: when it was last inside.
    """

    state: Literal["enter", "loiter", "leave"]
    since: float
    until: float


@dataclass(slots=True)
class Stay:
    """How a track stands to a zone.

    Attributes:
        first, last: the first and the last time of this stay that it was inside, in seconds; None while it is not.
        is_in: whether it is in the zone.
        loiters: whether it was said to loiter.
    """

    first: float | None = None
    last: float = 0.0
    is_in: bool = False
    loiters: bool = False

    def update(self, is_inside: bool, seconds: float, inertia: float, loitering: float | None) -> list[Change]:
        """Take where it is seen now.

        Args:
            is_inside: whether its anchor is in the zone.
            seconds: time of the frame.
            inertia: seconds, more than 0, of the zone.
            loitering: seconds from which it loiters; None: nobody does.
        """
        if not is_inside:
            if self.is_in and seconds - self.last < inertia - SOON:
                return []
            return self.end()
        self.first = seconds if self.first is None else self.first
        self.last = seconds
        stayed, changes = self.last - self.first, []
        if not self.is_in and stayed >= inertia - SOON:
            self.is_in = True
            changes.append(Change("enter", self.first, self.last))
        if self.is_in and not self.loiters and loitering is not None and stayed >= loitering - SOON:
            self.loiters = True
            changes.append(Change("loiter", self.first, self.last))
        return changes

    def end(self) -> list[Change]:
        """It is no longer there: it has left, if it was in the zone."""
        changes = [Change("leave", self.first, self.last)] if self.is_in and self.first is not None else []
        self.first, self.is_in, self.loiters = None, False, False
        return changes
