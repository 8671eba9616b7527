"""How many cores this process may use."""

import os
from pathlib import Path

from watchline.settings import MOST_THREADS


def shares(count: int) -> list[set[int]]:
    """The cores of each of so many processes that share those of this one; where there are fewer, some share one.
    Empty where a process cannot be kept on its cores.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(count)]
    mine, each = sorted(os.sched_getaffinity(0)), max(1, cores() // count)
    starts = (number * len(mine) // count for number in range(count))
    return [set(mine[start : start + each]) for start in starts]


def cores() -> int:
    """A container's share of the machine counts, not the machine. No more than settings may ask for."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = Path("/sys/fs/cgroup/cpu.max")
    if share.is_file():
        quota, period = share.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return min(count, MOST_THREADS)
