"""OpenCV's number of threads, which the whole process shares: one while anything runs here, then what it was before."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_runs: list[int] = []  # for each run in this process: the number of threads that OpenCV had when the first one began


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within the context OpenCV works in the thread that calls it: the stages' own threads fill the machine.

    Runs may overlap, from any thread: the last one to end gives OpenCV back the threads that it had before the first.
    """
    with _lock:
        _runs.append(_runs[0] if _runs else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _lock:
            before = _runs.pop()
            if not _runs:
                cv2.setNumThreads(before)
