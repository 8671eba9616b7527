"""Work beside the chain: in threads of low priority, the newest job of each stream, and nobody waits for it."""

import os
import sys
import threading
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Generic, Self, TypeVar

R = TypeVar("R")

NICE = 10  # how far behind the chain's threads these are; 19 is the least


class Beside(Generic[R]):
    """Threads that do jobs. Each key has one job that waits, the newest, and one result, the newest.

    Args:
        threads: how many jobs are done at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = [threading.Thread(target=self._work, name=f"beside {n}", daemon=True) for n in range(threads)]
        self._wanted: dict[Hashable, Callable[[], R]] = {}
        self._done: dict[Hashable, R | Exception] = {}
        self._doing: set[Hashable] = set()  # and not forgotten
        self._changed = threading.Condition()
        self._is_over = False

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the jobs that are being done; those that wait are not begun."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, key: Hashable, job: Callable[[], R]) -> None:
        """Have a job done; it replaces one of this key that has not begun, in its place in the row."""
        with self._changed:
            self._wanted[key] = job
            self._changed.notify()

    def is_busy(self, key: Hashable) -> bool:
        """Whether a job of a key waits, or is being done."""
        with self._changed:
            return key in self._wanted or key in self._doing

    def taken(self, key: Hashable) -> R | None:
        """The newest result of a key, once; None if there is none. Raises what its job raised."""
        with self._changed:
            done = self._done.pop(key, None)
        if isinstance(done, Exception):
            raise done
        return done

    def forget(self, key: Hashable) -> None:
        """Whatever there is of a key, and what will come of a job that is being done."""
        with self._changed:
            self._wanted.pop(key, None)
            self._done.pop(key, None)
            self._doing.discard(key)

    def _work(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + NICE, 19))
        while True:
            with self._changed:
                while (key := self._next()) is None and not self._is_over:
                    self._changed.wait()
                if key is None or self._is_over:
                    return
                job = self._wanted.pop(key)
                self._doing.add(key)
            result: R | Exception
            try:
                result = job()
            except Exception as error:  # for whoever asks
                result = error
            with self._changed:
                if key in self._doing:
                    self._doing.discard(key)
                    self._done[key] = result
                self._changed.notify()

    def _next(self) -> Hashable | None:
        """The key whose turn it is: results of a key come in the order of its jobs, so one is done at a time."""
        return next((key for key in self._wanted if key not in self._doing), None)
