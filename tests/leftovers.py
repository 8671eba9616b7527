"""What a test may leave behind in its process, to be compared before and after."""

import gc
import re
import threading
from contextlib import suppress
from pathlib import Path

OWN = Path("/proc/self")


def descriptors() -> list[str]:
    """What files, sockets and pipes this process has open."""
    found = []
    for entry in (OWN / "fd").iterdir():
        with suppress(FileNotFoundError):  # what lists the folder is in it itself
            found.append(re.sub(r"\[\d+\]", "", str(entry.readlink())))
    return sorted(found)


def children() -> list[str]:
    """Ids of the processes that this one has started, dead ones that nobody waited for too."""
    return [child for task in (OWN / "task").iterdir() for child in (task / "children").read_text().split()]


def shared_memory() -> int:
    """How many pieces of shared memory without a name are mapped here."""
    return (OWN / "maps").read_text().count("memfd:watchline")


def everything() -> tuple[int, list[str], list[str], int]:
    """Threads, descriptors, children, shared memory; without what only waits for the garbage collector."""
    gc.collect()
    return threading.active_count(), descriptors(), children(), shared_memory()
