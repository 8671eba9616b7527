"""Says when a packet is due, for streams whose packets come in groups: the segments of HLS, and files.

A packet is due as long after the first one as its time says. A group that comes late delays all that follow, so that
nothing stutters. But delays add up, and a camera's clock may run fast. So if no packet of the last WINDOW seconds was
needed at once, all are due earlier.
"""

import math

WINDOW = 3.0  # seconds
SLACK = 0.5  # seconds that a packet may wait without need
MOST = (
    15.0  # seconds that a packet may wait at all, longer than a segment; a step between two packets may not be longer
)
BACK = 1.0  # seconds by which times may decrease


class Pace:
    """The times of one connection."""

    def __init__(self) -> None:
        self._start: float | None = None  # when a packet of time 0 is due
        self._seconds = self._due = -math.inf  # of the last packet
        self._window: tuple[float, float] | None = None  # its begin, and the least that a packet had to wait
        self._caught_up = -math.inf  # the time from which on packets count: those before were held back

    def due(self, seconds: float | None, arrival: float) -> float:
        """Args: a packet's time in seconds, None if it has none; its arrival. Returns: when it is due (monotonic)."""
        if seconds is None:
            return max(arrival, self._due)
        begin, step = arrival - seconds, seconds - self._seconds
        if self._start is None or not -BACK < step < MOST:
            self._start = max(begin, self._due - seconds)
            self._window, self._caught_up = None, seconds
        elif begin > self._start + SLACK:
            self._window, self._caught_up = None, seconds + begin - self._start
        self._start = max(self._start, begin)
        if seconds >= self._caught_up:
            since, least = self._window or (arrival, math.inf)
            least = min(least, self._start - begin)
            self._window = since, least
            if arrival - since > WINDOW:
                self._start -= least if least > SLACK else 0.0
                self._window = None
        self._start = min(self._start, begin + MOST)
        self._seconds, self._due = seconds, self._start + seconds
        return self._due
