"""A ring of slots in memory that two processes of a host share: pixels are copied in once and read in place.

Each slot is an anonymous file (memfd) that the child inherits. It has no name, so the kernel takes the memory back
however the processes die. A slot grows when more is written than it holds. It never shrinks: a seal forbids it. It
belongs to one request at a time: the client takes it, the child answers into it, the client gives it back.
"""

import fcntl
import mmap
import os
import queue
import stat
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.remote.guard import LARGEST

Bytes = NDArray[np.uint8]
Span = tuple[int, int]  # offset and length, in bytes

LINE = 64  # bytes; each part begins at a multiple of it
STEP = 1 << 16  # bytes by which slots grow


class Slot:
    """One piece of shared memory, mapped into this process.

    Args:
        descriptor: of its file; the caller closes it.

    Raises:
        ValueError: the descriptor is not memory that is sealed against shrinking.
    """

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self._descriptor = descriptor
        self._memory: Bytes = np.empty(0, np.uint8)
        try:
            sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        except OSError:
            sealed = 0
        if not sealed or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"descriptor {descriptor} is not shared memory of a client")

    def write(self, parts: Sequence[Bytes], start: int = 0) -> tuple[Span, ...]:
        """Copy parts, one behind another, from `start` on. Returns their spans.

        Raises:
            ValueError: they need more than a slot may hold.
        """
        spans: list[Span] = []
        end = start
        for part in parts:
            offset = -(-end // LINE) * LINE
            spans.append((offset, part.nbytes))
            end = offset + part.nbytes
        if end > LARGEST:
            raise ValueError(f"a request of {end >> 20} MiB: a slot holds {LARGEST >> 20} at most; send fewer frames")
        self._reach(end, grow=True)
        for (offset, length), part in zip(spans, parts, strict=True):
            np.copyto(self._memory[offset : offset + length].reshape(part.shape), part)
        return tuple(spans)

    def read(self, spans: Sequence[Span]) -> tuple[Bytes, ...]:
        """Views of the spans that the other side says it has written.

        Raises:
            ValueError: a span is not inside the memory.
        """
        if any(offset < 0 or length < 0 for offset, length in spans):
            raise ValueError("a span of a negative offset or length")
        self._reach(max((offset + length for offset, length in spans), default=0), grow=False)
        return tuple(self._memory[offset : offset + length] for offset, length in spans)

    def _reach(self, end: int, grow: bool) -> None:
        """Map at least `end` bytes. Earlier views keep their mapping alive."""
        if end <= len(self._memory):
            return
        real = os.fstat(self._descriptor).st_size
        if end > real:
            if not grow:
                raise ValueError(f"a span up to byte {end} of a slot of {real}")
            real = -(-end // STEP) * STEP
            os.ftruncate(self._descriptor, real)
        # All pages are touched now, at once: cheaper than one after another while a frame waits.
        self._memory = np.frombuffer(mmap.mmap(self._descriptor, real, mmap.MAP_SHARED | mmap.MAP_POPULATE), np.uint8)


class Ring:
    """The client's slots: as many as requests may be under way. A worker that finds none waits for one.

    Raises:
        OSError: there are no more descriptors.
    """

    def __init__(self, slots: int) -> None:
        self.descriptors: tuple[int, ...] = tuple(_new_memory() for _ in range(slots))
        self._free: queue.LifoQueue[Slot] = queue.LifoQueue()  # the slot used last is still in the processor's cache
        for number, descriptor in enumerate(self.descriptors):
            self._free.put(Slot(number, descriptor))

    def take(self, timeout: float) -> Slot | None:
        """A free slot; None if none became free within `timeout` seconds."""
        try:
            return self._free.get(timeout=timeout)
        except queue.Empty:
            return None

    def give(self, slot: Slot) -> None:
        """Give back a slot that was taken."""
        if self.descriptors:
            self._free.put(slot)

    def close(self) -> None:
        """Free the memory; what is still viewed is freed with its last view."""
        descriptors, self.descriptors = self.descriptors, ()
        self._free = queue.LifoQueue()
        for descriptor in descriptors:
            os.close(descriptor)


@dataclass(frozen=True)
class Inherited:
    """The slots of the client that started this process, by their numbers."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, descriptors: Sequence[int]) -> "Inherited":
        """Raises ValueError: a descriptor is not a client's memory."""
        return cls(tuple(Slot(number, descriptor) for number, descriptor in enumerate(descriptors)))

    def slot(self, number: int) -> Slot:
        """Raises ValueError: there is no such slot."""
        if not 0 <= number < len(self.slots):
            raise ValueError(f"slot {number} of {len(self.slots)}")
        return self.slots[number]


def _new_memory() -> int:
    descriptor = os.memfd_create("watchline", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor
