"""How many cores this process may use."""

import os
from pathlib import Path


def cores() -> int:
    """A container's share of the machine counts, not the machine."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = Path("/sys/fs/cgroup/cpu.max")
    if share.is_file():
        quota, period = share.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count
