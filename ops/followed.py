"""What is known of each track of a stream, kept where its number changes: who is lost and found again has a new one.

A new number is the object of a track that is not seen any more, if it is of the same class and near where that must be
now, going on as it went.
"""

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from watchline.ops.detections import Detections
from watchline.ops.regions import anchors
from watchline.ops.tracks import NONE

S = TypeVar("S")

HIDDEN = 1.0  # seconds for which a track may be hidden, and have another number then
REACH = 0.5  # heights of its box that it may be away from where it must be
PATH = 0.5  # seconds over which its speed is averaged


@dataclass(slots=True)
class Known(Generic[S]):
    """A track.

    Attributes:
        number: its number now.
        label: its class, as seen last.
        since, seen: when it was seen first and last, in seconds.
        foot: x + iy in pixels, in the middle of its lower edge then.
        speed: of its foot in pixels per second.
        state: what is kept of it.
    """

    number: int
    label: str
    since: float
    seen: float
    foot: complex
    speed: complex
    state: S


class Followed(Generic[S]):
    """The tracks of a stream that have a number.

    Args:
        begun: makes the state of a new one.

    Attributes:
        gone: those that were over with the last frame.
    """

    def __init__(self, begun: Callable[[], S]) -> None:
        self.gone: list[Known[S]] = []
        self._begun = begun
        self._known: dict[int, Known[S]] = {}

    def update(self, found: Detections, alive: Container[int], seconds: float) -> list[tuple[int, Known[S]]]:
        """The tracks that are seen in a frame, each with its row.

        Args:
            found: with the numbers of the tracks.
            alive: the numbers of those that are not over, also of those that are hidden.
            seconds: time of the frame.
        """
        numbers = np.full(len(found), NONE) if found.tracker_id is None else found.tracker_id
        rows = np.flatnonzero(numbers != NONE)
        feet = anchors(found.xyxy[rows], "bottom").view(np.complex128)[:, 0].tolist()
        heights = (found.xyxy[rows, 3] - found.xyxy[rows, 1]).tolist()
        named = list(zip(rows.tolist(), numbers[rows].tolist(), feet, heights, strict=True))
        now = {number for _, number, _, _ in named}
        for row, number, foot, height in named:
            label = found.labels[found.class_id[row]]
            if number not in self._known:
                self._known[number] = self._heir(number, label, foot, height, seconds, now)
            _seen(self._known[number], label, foot, seconds)
        self.gone = [one for number, one in self._known.items() if number not in alive and number not in now]
        for one in self.gone:
            del self._known[one.number]
        return [(row, self._known[number]) for row, number, _, _ in named]

    def known(self) -> list[Known[S]]:
        """Those that are not over."""
        return list(self._known.values())

    def _heir(
        self, number: int, label: str, foot: complex, height: float, seconds: float, now: Container[int]
    ) -> Known[S]:
        """A new number's track: one that was lost near there, or a new one."""
        near = [
            (away, one)
            for one in self._known.values()
            if one.number not in now
            and one.label == label
            and seconds - one.seen <= HIDDEN
            and (away := abs(one.foot + one.speed * (seconds - one.seen) - foot)) <= REACH * height
        ]
        if not near:
            return Known(number, label, seconds, seconds, foot, 0j, self._begun())
        _, one = min(near, key=lambda pair: pair[0])
        del self._known[one.number]
        one.number = number
        return one


def _seen(one: Known[S], label: str, foot: complex, seconds: float) -> None:
    gap = seconds - one.seen
    if gap > 0:
        weight = max(1 - math.exp(-gap / PATH), gap / (seconds - one.since))
        one.speed += weight * ((foot - one.foot) / gap - one.speed)
    one.label, one.foot, one.seen = label, foot, seconds
