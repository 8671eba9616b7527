"""The clock of a camera, held against ours: its times are kept as long as they can be right.

A network delays pictures and then brings many at once; their times say when they were taken, and must not be bent. But
a camera's clock may also jump, or run too fast or too slow. So a step that no real time fits begins anew at the time
of arrival, and a clock that stays behind ours for a whole WINDOW, or gets ahead of it, is set.
"""

from fractions import Fraction

from watchline.streams.source import LIVE_TIME_BASE

APART = 1.0  # seconds that a camera's clock and ours may run apart
WINDOW = 10.0  # seconds; a network that holds pictures back for longer is not told from a slow clock


class CameraClock:
    """Turns the times of one connection into times from 0 in units of LIVE_TIME_BASE.

    Attributes:
        mended: how often it was set anew.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Args: time_base of the camera's times, seconds per unit."""
        self.mended = 0
        self._unit = float(time_base)
        self._start: float | None = None
        self._raw: float | None = None
        self._arrival = 0.0
        self._shift = 0.0
        self._least = float("inf")  # how far behind ours it was at least, in this window
        self._window = 0.0

    def see(self, pts: int | None, arrival: float) -> int:
        """Args: a picture's time, None if it has none; when it arrived (monotonic seconds). Returns: its time here.

        Pictures come in order of decoding, so times may run back within the second by which some lie ahead.
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
        if self._raw is None or not -APART < raw - self._raw < step + APART:
            self.mended += self._raw is not None
            self._shift = now - raw
            self._least = float("inf")
        self._raw = raw
        self._compare(raw, now)
        return max(0, round((raw + self._shift) / LIVE_TIME_BASE))

    def _compare(self, raw: float, now: float) -> None:
        behind = now - (raw + self._shift)
        if behind < -APART:
            self._shift += behind + APART
            return
        self._least = min(self._least, behind)
        if self._arrival - self._window > WINDOW:
            if self._least > APART:
                self.mended += 1
                self._shift += self._least
            self._window, self._least = self._arrival, float("inf")
