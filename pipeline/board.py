"""A board where threads post how far their streams are, and one thread reads it."""

import threading
from collections import deque
from collections.abc import Iterator

from watchline.pipeline.lanes import Progress


class Board:
    """Holds the newest progress of each stream, so that a reader who is slow holds nobody up. Ends are all kept."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: dict[str, Progress] = {}
        self._ended: deque[Progress] = deque()
        self._is_closed = False

    def post(self, progress: Progress) -> None:
        """For any thread."""
        with self._changed:
            if progress.ended:
                self._newest.pop(progress.stream, None)
                self._ended.append(progress)
            else:
                self._newest[progress.stream] = progress
            self._changed.notify()

    def close(self) -> None:
        """Nothing more is posted."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def read(self) -> Iterator[Progress]:
        """What is posted, waiting for it, until the board is closed."""
        while True:
            with self._changed:
                while not (self._newest or self._ended or self._is_closed):
                    self._changed.wait()
                posted = [*self._ended, *self._newest.values()]  # of a name that has come again, the end was before
                self._newest.clear()
                self._ended.clear()
            if not posted:
                return
            yield from posted
