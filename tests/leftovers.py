"""Resources that a test may leave in its process, to be compared before and after."""

import gc
import re
import threading
from contextlib import suppress
from pathlib import Path

OWN = Path("/proc/self")


def descriptors() -> list[str]:
    """The files, sockets and pipes that this process has open."""
    found = []
    for entry in (OWN / "fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists the folder is listed too
            found.append(re.sub(r"\[\d+\]", "", str(entry.readlink())))
    return sorted(found)


def children() -> list[str]:
    """Ids of the child processes, including zombies."""
    return [child for task in (OWN / "task").iterdir() for child in (task / "children").read_text().split()]


def shared_memory() -> int:
    """The number of mapped pieces of shared memory without a name."""
    return (OWN / "maps").read_text().count("memfd:watchline")


def everything() -> tuple[int, list[str], list[str], int]:
    """Threads, descriptors, children and shared memory, after a garbage collection."""
    gc.collect()
    return threading.active_count(), descriptors(), children(), shared_memory()
