"""Frames per second in windows, until the last ones agree: then the machine is warm, and nothing disturbs it."""

from dataclasses import dataclass, field
from itertools import pairwise

AGREE = 3  # windows that must agree
WITHIN = 0.1  # of the slowest of them
SECONDS, FRAMES = 2.0, 20  # a window has at least so many: with few frames, one more or less would be a difference


@dataclass
class Windows:
    """The rates of windows that follow one another. Any clock, in seconds.

    Attributes:
        edges: for each moment between two windows: the time, and the frames until then.
    """

    seconds: float = SECONDS
    frames: int = FRAMES
    edges: list[tuple[float, int]] = field(default_factory=list)

    def at(self, now: float, frames: int) -> bool:
        """`frames` are done at the time `now`. Returns whether a window has ended with it, or the first begins."""
        if self.edges:
            since, before = self.edges[-1]
            if now - since < self.seconds or frames - before < self.frames:
                return False
        self.edges.append((now, frames))
        return True

    @property
    def rates(self) -> list[float]:
        """Frames per second of each window that is complete, from the first."""
        return [(frames - before) / (now - since) for (since, before), (now, frames) in pairwise(self.edges)]

    @property
    def are_settled(self) -> bool:
        """Whether the last windows agree."""
        last = self.rates[-AGREE:]
        return len(last) == AGREE and max(last) <= (1 + WITHIN) * min(last)

    @property
    def last(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """Where the last windows begin and end, as `edges`: what a figure is taken of."""
        return self.edges[-AGREE - 1 :][0], self.edges[-1]

    @property
    def fps(self) -> float:
        """Frames per second over the last windows together; 0 before the first has ended."""
        (since, before), (now, frames) = self.last
        return (frames - before) / (now - since) if now > since else 0.0
