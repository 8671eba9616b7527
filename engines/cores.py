"""How many cores this process may use."""

import os
from itertools import pairwise
from pathlib import Path

from watchline.settings import MOST_THREADS


def shares(count: int) -> list[set[int]]:
    """The cores of each of so many processes that share those of this one; where there are fewer, some share one.
    Empty where a process cannot be kept on its cores.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(count)]
    mine = sorted(os.sched_getaffinity(0))
    edges = [number * len(mine) // count for number in range(count + 1)]
    most = -(-cores() // count)  # a container may have less time than cores
    return [set(mine[start : max(start + 1, end)][:most]) for start, end in pairwise(edges)]


def cores() -> int:
    """A container's share of the machine counts, not the machine. No more than settings may ask for."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = Path("/sys/fs/cgroup/cpu.max")
    if share.is_file():
        quota, period = share.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return min(count, MOST_THREADS)
