"""The meter: how long frames wait for each stage, and how long it works on them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, DECADES, BINS_A_DECADE = 1e-6, 10, 50  # 1 microsecond to 10 000 seconds in steps of 4.7 %
BINS = DECADES * BINS_A_DECADE


class Histogram:
    """Durations in bins of equal ratio: constant memory, percentiles right to 2.4 %, for months if need be."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        place = int(np.log10(max(seconds, LOWEST) / LOWEST) * BINS_A_DECADE)
        self.counts[min(place, BINS - 1)] += 1
        self.total += seconds

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the bins that have counts, and the sum of the durations."""
        return {"bins": {int(n): int(self.counts[n]) for n in self.counts.nonzero()[0]}, "total": self.total}

    def take(self, other: Mapping[str, Any]) -> None:
        """Count what another histogram has counted. Args: other, what its `as_dict` gave."""
        for place, count in other["bins"].items():
            self.counts[int(place)] += count
        self.total += other["total"]

    def percentile(self, q: float) -> float:
        """The duration in seconds that q (0..100) percent of the counted ones stay under; 0 if none was counted."""
        cumulative = np.cumsum(self.counts)
        if not cumulative[-1]:
            return 0.0
        place = int(np.searchsorted(cumulative, max(q / 100 * cumulative[-1], 1)))
        return float(LOWEST * 10 ** ((place + 0.5) / BINS_A_DECADE))


@dataclass
class StageMeter:
    """One stage's figures. queue: from ready to received. work: in the stage's own function."""

    workers: int
    count: int = 0
    queue: Histogram = field(default_factory=Histogram)
    work: Histogram = field(default_factory=Histogram)


class Meter:
    """The figures of all stages of a run, in the order of the chain; any thread may record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stages: dict[str, StageMeter] = {}
        self.latency = Histogram()

    def stage(self, name: str, workers: int) -> None:
        """Announce a stage."""
        self.stages[name] = StageMeter(workers)

    def use(self, name: str, workers: int) -> None:
        """A stage has so many workers now; the most that it has had are counted."""
        self.stages[name].workers = max(self.stages[name].workers, workers)

    def worked(self, stage: str, frames: int, queue: list[float], work: float) -> None:
        """A stage has worked `work` seconds on `frames` frames that had waited `queue` seconds each."""
        with self._lock:
            mine = self.stages[stage]
            mine.count += frames
            for waited in queue:
                mine.queue.add(waited)
            for _ in range(frames):
                mine.work.add(work / frames)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        stages = {
            name: {
                "workers": one.workers,
                "count": one.count,
                "queue": one.queue.as_dict(),
                "work": one.work.as_dict(),
            }
            for name, one in self.stages.items()
        }
        return {"stages": stages, "latency": self.latency.as_dict()}

    def take(self, other: Mapping[str, Any]) -> None:
        """Add the figures of a run that was beside this one. Args: other, what its meter's `as_dict` gave."""
        with self._lock:
            for name, its in other["stages"].items():
                mine = self.stages.setdefault(name, StageMeter(0))
                mine.workers += its["workers"]
                mine.count += its["count"]
                mine.queue.take(its["queue"])
                mine.work.take(its["work"])
            self.latency.take(other["latency"])

    def finished(self, latency: float) -> None:
        """A frame has reached its sinks, `latency` seconds after its source delivered it."""
        with self._lock:
            self.latency.add(latency)
