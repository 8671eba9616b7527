"""Who crosses a line: in and out, once a track in each direction, whatever the boxes do while they are on the line.

A track stands on a side once its anchor is farther from the line than a margin: within it, boxes may flicker from side
to side. It has crossed when it stands on the other side and its path went through the line between its ends.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from watchline.ops.regions import Points, Sight, passes

Direction = Literal["in", "out"]


class Crossed(NamedTuple):
    """A track has crossed a line.

    Attributes:
        direction: "in" from left to right, seen in the line's direction; "out" from right to left.
        before, after: where it stood last on the one side, and first on the other.
    """

    direction: Direction
    before: Sight
    after: Sight


@dataclass(slots=True)
class Crossing:
    """How a track stands to a line.

    Attributes:
        stood: where it was last seen to stand on a side; None before that.
        is_right: whether that was the right one.
        last: where it was last seen.
        through: how often its path has gone through the line since it stood, to the right less to the left.
        counted: the directions in which it has crossed.
    """

    stood: Sight | None = None
    is_right: bool = False
    last: Sight | None = None
    through: int = 0
    counted: set[Direction] = field(default_factory=set)

    def update(self, sight: Sight, distance: float, margin: float, line: Points) -> Crossed | None:
        """Take where it is seen now. Returns that it has crossed, the first time in that direction.

        Args:
            distance: of its anchor to the right of the line, in pixels.
            margin: in pixels.
            line: (2, 2) from, to.
        """
        if self.last is not None:
            self.through += passes(self.last, sight, line)
        self.last = sight
        if abs(distance) <= margin:
            return None
        before, was_right, passed = self.stood, self.is_right, self.through != 0
        self.stood, self.is_right, self.through = sight, distance > 0, 0
        if before is None or was_right == self.is_right or not passed:
            return None
        direction: Direction = "in" if self.is_right else "out"
        if direction in self.counted:
            return None
        self.counted.add(direction)
        return Crossed(direction, before, sight)
