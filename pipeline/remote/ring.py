"""A ring of slots in memory that two processes of a host share: pixels are copied in once and read in place.

Each slot is an anonymous file (memfd) that the child inherits. It has no name, so the kernel takes the memory back
however anybody dies. A slot grows when more is to be written than it holds, is never shrunk (a seal sees to that), and
belongs to one request at a time: the hub takes it, the child answers into it, the hub gives it back.
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

Bytes = NDArray[np.uint8]
Place = tuple[int, int]  # offset and length, in bytes

LARGEST = 1 << 30  # bytes of a slot
LINE = 64  # bytes; where each part begins is a multiple
STEP = 1 << 16  # by which slots grow


class Slot:
    """One piece of shared memory, as this process sees it.

    Args:
        descriptor: of its file, which stays the caller's.

    Raises:
        ValueError: the descriptor is no memory that cannot be taken away.
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
            raise ValueError(f"descriptor {descriptor} is no shared memory of a hub")

    def write(self, parts: Sequence[Bytes], start: int = 0) -> tuple[Place, ...]:
        """Copy parts, one behind another, from `start` on. Returns where they are.

        Raises:
            ValueError: they are more than a slot may hold.
        """
        places: list[Place] = []
        end = start
        for part in parts:
            offset = -(-end // LINE) * LINE
            places.append((offset, part.nbytes))
            end = offset + part.nbytes
        if end > LARGEST:
            raise ValueError(f"a request of {end >> 20} MiB: a slot holds {LARGEST >> 20} at most; send fewer at once")
        self._reach(end, grow=True)
        for (offset, length), part in zip(places, parts, strict=True):
            np.copyto(self._memory[offset : offset + length].reshape(part.shape), part)
        return tuple(places)

    def read(self, places: Sequence[Place]) -> tuple[Bytes, ...]:
        """Views of what the other side says it wrote.

        Raises:
            ValueError: a place is not inside the memory.
        """
        if any(offset < 0 or length < 0 for offset, length in places):
            raise ValueError("a place of a negative offset or length")
        self._reach(max((offset + length for offset, length in places), default=0), grow=False)
        return tuple(self._memory[offset : offset + length] for offset, length in places)

    def _reach(self, end: int, grow: bool) -> None:
        """Map at least `end` bytes. Earlier views keep the mapping they are of."""
        if end <= len(self._memory):
            return
        real = os.fstat(self._descriptor).st_size
        if end > real:
            if not grow:
                raise ValueError(f"a place up to byte {end} of a slot of {real}")
            real = -(-end // STEP) * STEP
            os.ftruncate(self._descriptor, real)
        # touched now, all at once, which is cheaper than page after page while a frame waits
        self._memory = np.frombuffer(mmap.mmap(self._descriptor, real, mmap.MAP_SHARED | mmap.MAP_POPULATE), np.uint8)


class Ring:
    """The hub's slots. There are as many as requests may be under way, and who finds none waits.

    Raises:
        OSError: there are no more descriptors.
    """

    def __init__(self, slots: int) -> None:
        self.descriptors = tuple(_new_memory() for _ in range(slots))
        self._slots = tuple(Slot(number, descriptor) for number, descriptor in enumerate(self.descriptors))
        self._free: queue.LifoQueue[Slot] = queue.LifoQueue()  # the last one used is still in the processor's cache
        for slot in self._slots:
            self._free.put(slot)

    def take(self, timeout: float) -> Slot | None:
        """A free slot; None if there was none for `timeout` seconds."""
        try:
            return self._free.get(timeout=timeout)
        except queue.Empty:
            return None

    def give(self, slot: Slot) -> None:
        """Give back a slot that was taken."""
        self._free.put(slot)

    def close(self) -> None:
        """Free the memory, but for what is still viewed."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._slots = ()


@dataclass(frozen=True)
class Inherited:
    """The slots of the hub that started this process, by their numbers."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, descriptors: Sequence[int]) -> "Inherited":
        """Raises ValueError: a descriptor is no hub's memory."""
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
