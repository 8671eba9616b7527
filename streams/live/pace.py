"""Says when a packet is due, for streams whose packets come in groups: the segments of HLS, and recordings.

A packet is due as long after the first one as its time says. A group that comes late delays all that follow, so that
nothing stutters. But delays add up, and a camera's clock may run fast. So if no packet of the last WINDOW seconds was
needed at once, all are due earlier.
"""

import math

WINDOW = 4.0  # seconds
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
        self._since, self._least = 0.0, math.inf  # of the window: its begin, and the least that a packet had to wait

    def due(self, seconds: float | None, arrival: float) -> float:
        """Args: a packet's time in seconds, None if it has none; its arrival. Returns: when it is due (monotonic)."""
        if seconds is None:
            return max(arrival, self._due)
        begin, step = arrival - seconds, seconds - self._seconds
        if self._start is None or not -BACK < step < MOST:
            self._start = max(begin, self._due - seconds)
            self._since, self._least = arrival, math.inf
        elif begin > self._start:
            if begin > self._start + SLACK:
                self._since, self._least = arrival, math.inf
            else:
                self._least = 0.0
            self._start = begin
        else:
            self._least = min(self._least, self._start - begin)
        if arrival - self._since > WINDOW:
            self._start -= self._least if self._least > SLACK else 0.0
            self._since, self._least = arrival, math.inf
        self._start = min(self._start, begin + MOST)
        self._seconds, self._due = seconds, self._start + seconds
        return self._due
