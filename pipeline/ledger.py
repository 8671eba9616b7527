"""The frame ledger: decoded = annotated + dropped (by cause) + in flight, for each stream, at every moment.

Frames in flight are kept by index, so a frame that is written twice, or that nobody ever decoded, is found at once.
"""

import threading
from collections import Counter
from dataclasses import dataclass

from watchline.pipeline.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Account:
    """One stream's frames at one moment."""

    decoded: int
    annotated: int
    dropped: dict[str, int]
    in_flight: int

    @property
    def balances(self) -> bool:
        return self.decoded == self.annotated + sum(self.dropped.values()) + self.in_flight


class _Stream:
    def __init__(self) -> None:
        self.decoded = 0
        self.annotated = 0
        self.dropped: Counter[str] = Counter()
        self.in_flight: set[int] = set()

    def account(self) -> Account:
        return Account(self.decoded, self.annotated, dict(self.dropped), len(self.in_flight))


class Ledger:
    """Counts the frames of all streams of a run; any thread may book."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}

    def decoded(self, stream: str, index: int) -> None:
        """A frame came out of the decoder and is in flight from now on."""
        with self._lock:
            mine = self._streams.setdefault(stream, _Stream())
            if index in mine.in_flight:
                raise LedgerError(f"{stream}: frame {index} was decoded twice")
            mine.in_flight.add(index)
            mine.decoded += 1

    def annotated(self, stream: str, index: int) -> None:
        """A frame reached its sinks."""
        with self._lock:
            self._leave(stream, index).annotated += 1

    def dropped(self, stream: str, index: int, cause: str) -> None:
        """A frame will not reach its sinks, and why."""
        with self._lock:
            self._leave(stream, index).dropped[cause] += 1

    def missed(self, stream: str, frames: int, cause: str) -> None:
        """Frames arrived that could not be decoded, and why: they count as decoded, and as dropped."""
        with self._lock:
            mine = self._streams.setdefault(stream, _Stream())
            mine.decoded += frames
            mine.dropped[cause] += frames

    def drop_in_flight(self, cause: str) -> None:
        """Everything still in flight is dropped: the run is over."""
        with self._lock:
            for mine in self._streams.values():
                mine.dropped[cause] += len(mine.in_flight)
                mine.in_flight.clear()
                mine.dropped += Counter()  # a cause without frames is no cause

    def sum_up(self, stream: str, into: str) -> None:
        """Add the account of a stream to one that stands for many, unless something of it is still in flight."""
        with self._lock:
            if self._streams[stream].in_flight:
                return
            mine = self._streams.pop(stream)
            total = self._streams.setdefault(into, _Stream())
            total.decoded += mine.decoded
            total.annotated += mine.annotated
            total.dropped += mine.dropped

    def take(self, stream: str, account: Account) -> None:
        """Add the account of a run that was beside this one."""
        with self._lock:
            mine = self._streams.setdefault(stream, _Stream())
            mine.decoded += account.decoded
            mine.annotated += account.annotated
            mine.dropped.update(account.dropped)

    def accounts(self) -> dict[str, Account]:
        """A snapshot of every stream, in the order in which they began."""
        with self._lock:
            return {name: mine.account() for name, mine in self._streams.items()}

    def _leave(self, stream: str, index: int) -> _Stream:
        mine = self._streams.get(stream)
        if mine is None or index not in mine.in_flight:
            raise LedgerError(f"{stream}: frame {index} leaves the pipeline, but it is not in flight")
        if not mine.account().balances:
            raise LedgerError(f"{stream}: {mine.account()} does not balance")
        mine.in_flight.remove(index)
        return mine
