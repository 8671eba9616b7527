"""Presentation times as the container gives them, mended only where they cannot be."""

from fractions import Fraction

# Back by more than this is a clock that started anew (joined recordings); less is a writer's slip.
RESTART = Fraction(1, 5)


class Clock:
    """Gives every frame a time after that of the frame before it; good times pass unchanged.

    - A missing time is the last good one plus the frames since then at the stream's rate.
    - A time that is not after the last one, but less than 0.2 s before it, becomes the last one plus one unit.
    - A time further back means that the clock started anew: that frame follows the last one at the stream's rate, and
      all later times are shifted with it.

    Attributes:
        mended: how many times were missing or not after the one before.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        """Args: time_base in seconds per unit; rate in frames per second, for the times that are missing."""
        self.mended = 0
        self._step = 1 / (rate * time_base)
        self._restart = RESTART / time_base
        self._shift = 0
        self._last: int | None = None
        self._anchor = Fraction(0)

    def next(self, pts: int | None) -> int:
        """Args: the container's time of the next frame, None if it has none. Returns: its time in the same units."""
        last = self._last
        if pts is not None:
            pts += self._shift
        if pts is None:
            self.mended += 1
            self._anchor = self._anchor + self._step if last is not None else Fraction(0)
            pts = round(self._anchor)
        elif last is not None and pts <= last - self._restart:
            self.mended += 1
            after = last + max(1, round(self._step))
            self._shift += after - pts
            self._anchor = Fraction(after)
            pts = after
        else:
            self._anchor = Fraction(pts)
        if last is not None and pts <= last:
            self.mended += 1
            pts = last + 1
        self._last = pts
        return pts

    @property
    def end(self) -> int:
        """Where the last frame ends if it lasts as long as the rate says; 0 before the first frame."""
        return 0 if self._last is None else self._last + round(self._step)
