"""Presentation times from the container, corrected only where they are impossible."""

from fractions import Fraction

# Seconds. Packets are in decoding order, so their times never decrease within a recording. If they decrease by more
# than this, a new recording begins.
JOINT = Fraction(1, 5)


class Joints:
    """Finds the joints of concatenated recordings (`cat a.ts b.ts > c.ts`), where the packets' clock starts again.

    A single packet with a wrong time (a damaged header) is not a joint: the packet after it continues from the one
    before it.

    Attributes:
        shift: added to the times of packets from here on, so that the new recording follows the old one.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.shift = 0
        self._joint = JOINT / time_base
        self._last: int | None = None
        self._before: int | None = None

    def see(self, dts: int | None, step: int) -> int:
        """Args: a packet's decoding time and duration, in stream units. Returns: the `shift` of this packet."""
        if dts is None:
            return self.shift
        dts += self.shift
        if self._last is not None and dts < self._last - self._joint:
            was_wrong = self._before is not None and 0 < dts - self._before < self._joint
            if not was_wrong:
                jump = self._last + max(1, step) - dts
                self.shift += jump
                dts += jump
        self._before, self._last = self._last, dts
        return self.shift


class Clock:
    """Gives every frame a time after that of the frame before it. Valid times stay unchanged.

    - A time that is missing is filled in: the last valid time plus the frames since then at the stream's rate. So is a
      time that is not before the next frame's, if the next frame's time is after the last one.
    - A time that is not after the last one becomes the last one plus one unit. No frame is dropped because of its time.

    Attributes:
        corrected: how many times were changed.
        end: when the last frame ends, if it lasts as long as the rate says; None before the first frame.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        """Args: time_base in seconds per unit; rate in frames per second, which fills in missing times."""
        self.corrected = 0
        self.end: int | None = None
        self._step = 1 / (rate * time_base)
        self._last: int | None = None
        self._good = Fraction(0)

    def next(self, pts: int | None, following: int | None = None) -> int:
        """Args: the container's times of this frame and of the next, None if missing. Returns: this frame's time."""
        last = self._last
        slipped = (
            pts is not None and following is not None and pts >= following and (last is not None and following > last)
        )
        if pts is None or slipped:
            self._good = self._good + self._step if last is not None else Fraction(0)
            time = round(self._good)
        else:
            time = pts
            self._good = Fraction(pts)
        if last is not None and time <= last:
            time = last + 1
            self._good = max(self._good, Fraction(time))
        self.corrected += time != pts
        self._last = time
        self.end = time + round(self._step)
        return time
