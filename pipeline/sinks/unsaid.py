"""Lines that could not be written yet: what is kept is little, and enough that no frame is unaccounted for."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from watchline.pipeline.message import Dropped, Message
from watchline.streams.write.jsonl import dropped_line

MOST = 10_000  # entries; a row of losses is one, however long


class Unsaid:
    """Keeps the lines of messages in their order; the oldest give way."""

    def __init__(self) -> None:
        self._waiting: deque[bytes | Dropped] = deque(maxlen=MOST)

    @property
    def is_full(self) -> bool:
        """Whether the next one costs the oldest."""
        return len(self._waiting) == MOST

    def add(self, message: Message, lines: Sequence[bytes]) -> None:
        """Args: lines of the message; of a loss, its own is the last. Losses of one cause in a row become one line."""
        told = lines[:-1] if isinstance(message, Dropped) else lines
        if told:
            self._waiting.append(b"".join(told))
        last = self._waiting[-1] if self._waiting else None
        if not isinstance(message, Dropped):
            return
        if isinstance(last, Dropped) and (last.cause, last.epoch) == (message.cause, message.epoch):
            self._waiting[-1] = replace(message, frames=last.frames + message.frames)
        else:
            self._waiting.append(message)

    def write(self, write: Callable[[bytes, Dropped | None], None]) -> None:
        """Write what waits. Raises what `write` raises; what is not written waits on.

        Args: write, called with lines and, where they are of a loss, with that loss.
        """
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, Dropped):
                write(dropped_line(first.stream, first.cause, first.frames, first.epoch, first.time), first)
            else:
                write(first, None)
            self._waiting.popleft()
