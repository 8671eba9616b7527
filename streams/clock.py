"""Presentation times from the container, corrected only where they are impossible."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

# Seconds. Packets are in decoding order, so their times never decrease within a recording. If they decrease by more
# than this, a new recording begins.
JOINT = Fraction(1, 5)
LONGEST_WAIT = 500  # packets that are held at a joint for a track that may have ended
NEVER = 1 << 62


class Timed(Protocol):
    """A packet: its track, and its times in units of the track."""

    @property
    def stream_index(self) -> int: ...

    @property
    def dts(self) -> int | None: ...

    @property
    def duration(self) -> int | None: ...


Packet = TypeVar("Packet", bound=Timed)


class Joints(Generic[Packet]):
    """Finds the joints of concatenated recordings (`cat a.ts b.ts > c.ts`), where the packets' clock starts again.

    At a joint, all tracks get the same shift, so sound and pictures stay together. The new recording begins where the
    longest track of the old one ends. FFmpeg gives the last packets of a track after the first new ones of another, so
    packets are held until all tracks have reached the joint. A track has reached it where its clock jumps too, or where
    its time is nearer to the new recording's begin than to its own last one.

    A transport stream's clock has 33 bits. If the new recording's clock is behind the first one's, FFmpeg takes that
    for an overflow, and the times jump ahead by a day.

    A single packet with a wrong time (a damaged header) is not a joint: the packet after it continues from the one
    before it.
    """

    def __init__(self, time_bases: Mapping[int, Fraction], longest_gap: Fraction | None = None) -> None:
        """Args: seconds per unit of each track's times, by the track's index; seconds by which a recording's times may
        jump ahead, None for any.
        """
        second = math.lcm(*(base.denominator for base in time_bases.values()))
        # All times in here are in ticks, which are common to the tracks.
        self._ticks = {index: base.numerator * second // base.denominator for index, base in time_bases.items()}
        self._joint = int(JOINT * second)
        self._gap = int(longest_gap * second) if longest_gap else NEVER
        self._shift = 0
        self._units = dict.fromkeys(time_bases, 0)  # the same shift, in each track's units
        self._last: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._step: dict[int, int] = {}
        self._held: list[tuple[Packet, bool]] = []  # with whether it is after the joint
        self._begun: dict[int, int] = {}  # the first time after the joint, of tracks that have reached it
        self._ended: dict[int, int] = {}  # where the old recording ended, of these tracks

    def see(self, packet: Packet) -> list[tuple[Packet, int]]:
        """Args: the next packet of any track. Returns: packets that may go on, each with what to add to its times."""
        index = packet.stream_index
        if packet.dts is not None:
            time = packet.dts * self._ticks[index] + self._shift
            jumps = self._jumps(index, time)
            if jumps and index in self._begun:  # the next joint
                return [*self.rest(), *self.see(packet)]
            if index not in self._begun and (jumps or (self._begun and self._is_after_joint(index, time))):
                self._ended[index] = self._last.get(index, time) + self._step.get(index, 0)
                self._begun[index] = time
            self._before[index] = self._last.get(index, NEVER)
            self._last[index], self._step[index] = time, max(1, packet.duration or 0) * self._ticks[index]
        if not self._begun:
            return [(packet, self._units[index])]
        self._held.append((packet, index in self._begun))
        is_waiting = not self._begun.keys() >= self._last.keys() and len(self._held) < LONGEST_WAIT
        return [] if is_waiting else self.rest()

    def rest(self) -> list[tuple[Packet, int]]:
        """The packets that are held. Call it after the last packet."""
        if not self._begun:
            return []
        ends = (self._ended.get(index, last + self._step[index]) for index, last in self._last.items())
        jump = max(ends) - min(self._begun.values())
        for index in self._begun:
            self._last[index] += jump
            self._before[index] += jump
        self._shift += jump
        old = self._units
        self._units = {index: (self._shift + unit // 2) // unit for index, unit in self._ticks.items()}
        held, self._held, self._begun, self._ended = self._held, [], {}, {}
        return [(packet, (self._units if is_new else old)[packet.stream_index]) for packet, is_new in held]

    def _jumps(self, index: int, time: int) -> bool:
        last = self._last.get(index)
        if last is None or last - self._joint <= time <= last + self._gap:
            return False
        was_wrong = 0 < time - self._before[index] < self._joint
        return not was_wrong

    def _is_after_joint(self, index: int, time: int) -> bool:
        """Whether a packet that does not jump has reached the joint of a track that jumped."""
        last = self._last.get(index)
        return any(last is None or abs(time - begin) < abs(time - last) for begin in self._begun.values())


class Clock:
    """Gives every frame a time after that of the frame before it. Valid times stay unchanged.

    - A time that is missing is filled in: the last valid time plus the frames since then at the stream's rate. So is a
      time that is after the next frame's, if the next frame's time is after the last one.
    - A time that is not after the last one becomes the last one plus one unit. No frame is dropped because of its time.

    Attributes:
        corrected: how many times were changed.
        end: when the last frame ends, if it lasts as long as the rate says; None before the first frame.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        """Args: time_base in seconds per unit; rate in frames per second, which fills in missing times."""
        self.corrected = 0
        self.end: int | None = None
        self._step = 1 / (rate * time_base)
        self._last: int | None = None
        self._good = Fraction(0)

    def next(self, pts: int | None, following: int | None = None) -> int:
        """Args: the container's times of this frame and of the next, None if missing. Returns: this frame's time."""
        last = self._last
        slipped = (
            pts is not None and following is not None and pts > following and (last is not None and following > last)
        )
        if pts is None or slipped:
            self._good = self._good + self._step if last is not None else Fraction(0)
            time = round(self._good)
        else:
            time = pts
            self._good = Fraction(pts)
        if last is not None and time <= last:
            time = last + 1
            self._good = max(self._good, Fraction(time))
        self.corrected += time != pts
        self._last = time
        self.end = time + round(self._step)
        return time
