"""A rolling window over a stream: how many frames per second, and how old they are, over the last seconds."""

import numpy as np

WINDOW = 5.0  # seconds
ROOM = 1024  # frames that are remembered: more than that in a window, and it is a shorter one


class Window:
    """The newest frames of a stream, in constant memory. All times are `time.monotonic()`; one thread at a time.

    Args:
        window: seconds that count.
        room: the most frames that count.
    """

    def __init__(self, window: float = WINDOW, room: int = ROOM) -> None:
        self._window = window
        self._times = np.full(room, -np.inf)
        self._latencies = np.zeros(room)
        self._count = 0

    def beat(self, now: float, latency: float) -> None:
        """A frame was written, `latency` seconds after it arrived."""
        place = self._count % len(self._times)
        self._times[place], self._latencies[place] = now, latency
        self._count += 1

    def fps(self, now: float) -> float:
        """Frames per second within the window.

        It is shorter, from the oldest known frame on, for a stream that has just begun or is too fast for the room.
        """
        recent = self._times[self._times > now - self._window]
        if self._count <= len(recent) or len(recent) == len(self._times):
            oldest = recent.min(initial=now)
            return float((len(recent) - 1) / (now - oldest)) if now > oldest else 0.0
        return len(recent) / self._window

    def latency_ms(self, q: float, now: float) -> float:
        """The latency that q (0..100) percent of the frames in the window stay under; 0 if there are none."""
        recent = self._latencies[self._times > now - self._window]
        return float(np.percentile(recent, q)) * 1000 if len(recent) else 0.0
