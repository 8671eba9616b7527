"""Compares the clock of a camera with ours, and keeps its times as long as they are plausible.

A network delays pictures and then delivers many at once. Their times say when they were taken and must be kept. But a
camera's clock may also jump, or run too fast or too slow. So if the step between two pictures is not plausible, the
clock is set to the time of arrival. It is also set if it stays behind ours for a complete WINDOW, or runs ahead of
ours.
"""

from fractions import Fraction

from watchline.streams.source import LIVE_TIME_BASE

TOLERANCE = 1.0  # seconds by which a camera's clock may differ from ours
WINDOW = 10.0  # seconds; a network that delays pictures for longer looks like a slow clock


class CameraClock:
    """Converts the times of one connection to times from 0 in units of LIVE_TIME_BASE.

    Attributes:
        corrected: how often the clock was set.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Args: time_base of the camera's times, seconds per unit."""
        self.corrected = 0
        self._unit = float(time_base)
        self._start: float | None = None
        self._raw: float | None = None
        self._arrival = 0.0
        self._shift = 0.0
        self._least = float("inf")  # the least that the camera's clock was behind ours in this window, in seconds
        self._window = 0.0

    def see(self, pts: int | None, arrival: float) -> int:
        """Args: a picture's time, None if it has none; its arrival (monotonic seconds). Returns: its converted time.

        Pictures come in decoding order, so times may decrease by up to TOLERANCE.
        """
        if self._start is None:
            self._start = self._arrival = self._window = arrival
        now = arrival - self._start
        step = arrival - self._arrival
        self._arrival = arrival
        if pts is None:
            self._raw = None
            return round(now / LIVE_TIME_BASE)
        raw = pts * self._unit
        if self._raw is None or not -TOLERANCE < raw - self._raw < step + TOLERANCE:
            self.corrected += self._raw is not None
            self._shift = now - raw
            self._least = float("inf")
        self._raw = raw
        self._compare(raw, now)
        return max(0, round((raw + self._shift) / LIVE_TIME_BASE))

    def _compare(self, raw: float, now: float) -> None:
        behind = now - (raw + self._shift)
        if behind < -TOLERANCE:
            self._shift += behind + TOLERANCE
            return
        self._least = min(self._least, behind)
        if self._arrival - self._window > WINDOW:
            if self._least > TOLERANCE:
                self.corrected += 1
                self._shift += self._least
            self._window, self._least = self._arrival, float("inf")
