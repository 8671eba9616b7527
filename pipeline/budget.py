"""The latency budget of a run: how old a live frame may become, also where the stages are slower than that.

A frame that cannot be written in time is dropped, so that a newer one is not held up. But if the stages need longer
than the budget, this would be all frames, for ever. So a frame is given what the stages have needed lately: frames get
fewer, never none. Those that are older than the budget are marked late, and `trouble` says which budget would do.
"""

import math
import threading
import time

from watchline.pipeline.message import Item
from watchline.pipeline.meter import Histogram
from watchline.pipeline.window import Window

HALF_LIFE = 5.0  # seconds after which a long call of a stage counts half
ROOM = 1.25  # factor on what the stages need: a little, or old frames would be worked on while newer ones wait
PROOF = 2.0  # seconds after the first frame from which it is said that most are late
SPARE = 1.2  # factor on the age of frames, for a budget that would do


class Budget:
    """Shared by all threads of a run.

    Args:
        seconds: from when a frame is due until it has to be through the stages, unless they need longer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._needs: dict[str, tuple[float, float]] = {}  # of each stage: its longest call lately, and when it was
        self._first: float | None = None  # when the first live frame was through
        self._recent, self._all = Window(), Histogram()

    def worked(self, stage: str, seconds: float) -> None:
        """A call of a stage took so long."""
        now = time.monotonic()
        with self._lock:
            self._needs[stage] = max(self._need(stage, now), seconds), now

    def is_late(self, item: Item, stages: tuple[str, ...] = ()) -> bool:
        """Whether a frame is not wanted any more. Args: stages, which it has yet to pass, by name."""
        if item.deadline is None:
            return False
        now = time.monotonic()
        taken = now if item.taken is None else item.taken
        with self._lock:
            need = sum(self._need(stage, now) for stage in self._needs)
            rest = sum(self._need(stage, now) for stage in stages)
        until = item.deadline
        if taken + need > until:  # it cannot be in time, and neither could any other
            until = taken + max(self.seconds, ROOM * need)
        return now + rest > until

    def passed(self, item: Item) -> None:
        """A frame has left the stages, and goes on to the sinks."""
        if item.deadline is None:
            return
        now = time.monotonic()
        age = now - item.deadline + self.seconds
        with self._lock:
            self._first = self._first or now
            self._recent.beat(now, age)
            self._all.add(age)

    def trouble(self) -> str:
        """What to say if most frames of the last seconds were late; empty if they were not."""
        now = time.monotonic()
        with self._lock:
            median, most = (self._recent.latency_ms(q, now) / 1000 for q in (50, 95))
            is_early = self._first is None or now - self._first < PROOF
        return "" if is_early else self._said(median, most)

    def verdict(self) -> str:
        """The same of all frames of the run."""
        with self._lock:
            return self._said(self._all.percentile(50), self._all.percentile(95))

    def _need(self, stage: str, now: float) -> float:
        seconds, when = self._needs.get(stage, (0.0, now))
        return float(seconds * 0.5 ** ((now - when) / HALF_LIFE))

    def _said(self, median: float, most: float) -> str:
        if median <= self.seconds:
            return ""
        return (
            f"a latency budget of {_shown(self.seconds)} is impossible: {_shown(_rounded_up(SPARE * most))} would do "
            f"(frames take {_shown(median)} and are late), or a faster model"
        )


def _rounded_up(seconds: float) -> float:
    """To two digits."""
    unit = float(10 ** (math.floor(math.log10(seconds)) - 1))
    return math.ceil(seconds / unit) * unit


def _shown(seconds: float) -> str:
    """As it may be typed."""
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else f"{seconds:.0f}s"
