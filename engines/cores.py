"""How many cores this process may use."""

import os
from pathlib import Path

from watchline.settings import MOST_THREADS


def cores() -> int:
    """A container's share of the machine counts, not the machine. No more than settings may ask for."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = Path("/sys/fs/cgroup/cpu.max")
    if share.is_file():
        quota, period = share.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return min(count, MOST_THREADS)
