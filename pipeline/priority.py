"""The priority of a thread: work that others wait for goes first, work that fills the machine takes what is left."""

import os
import sys
import threading

FILLING = 5  # of stages that fill the machine
BESIDE = 15  # of work for which no frame waits
LEAST = 19


def give_way(steps: int) -> None:
    """Let the calling thread, and the threads that it starts, give way to the others: `steps` of Unix's `nice`.

    Only Linux has priorities of threads; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + steps, LEAST))
