"""Finds lost pictures of H.264 by their frame numbers.

If a picture is lost in the network, FFmpeg silently shows the last one instead, and applies the changes of the next
pictures to it: the video is smeared. The number of each picture (ITU-T H.264, 7.4.3: frame_num) shows the loss.
"""

import re
from dataclasses import dataclass

SLICE, IDR, SPS = 1, 5, 7
WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # profiles
HEADER = 64  # bytes of a NAL unit that are enough for every header that is read here, except an SPS
_UNIT = re.compile(rb"\x00\x00\x01")


@dataclass(frozen=True, slots=True)
class Numbering:
    """What a sequence parameter set says about frame numbers.

    Attributes:
        bits: of frame_num.
        may_skip: whether gaps are allowed (gaps_in_frame_num_value_allowed_flag).
        has_planes: whether the colour planes are coded separately.
    """

    bits: int
    may_skip: bool
    has_planes: bool


class FrameNumbers:
    """Follows the frame numbers of a stream in decoding order (Annex B)."""

    def __init__(self, extradata: bytes | None) -> None:
        """Args: extradata, the parameter sets from before the stream. Later ones are read from its packets."""
        self._numbering: Numbering | None = None
        self._last: int | None = None
        self.lacks(extradata or b"")

    def forget(self) -> None:
        """Accept any number for the next picture."""
        self._last = None

    def lacks(self, packet: bytes) -> bool:
        """Whether a reference picture directly before the packet's picture is missing, or the packet's own header.

        A completely lost IDR picture is not found if the numbers after it continue those before it.
        """
        for unit in _UNIT.finditer(packet):
            start = unit.end()
            kind = packet[start] & 31 if start < len(packet) else 0
            if kind == SPS:
                end = packet.find(b"\0\0\1", start)
                self._numbering = _numbering(packet[start + 1 : end if end > 0 else None])
            elif kind in (SLICE, IDR):
                try:
                    return self._follow(kind, packet[start] >> 5 & 3 > 0, packet[start + 1 : start + HEADER])
                except IndexError:
                    return True
        return False

    def _follow(self, kind: int, is_reference: bool, header: bytes) -> bool:
        if self._numbering is None:
            return False
        bits = _Bits(header)
        for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
            bits.golomb()
        bits.take(2 * self._numbering.has_planes)
        number = bits.take(self._numbering.bits)
        last, modulus = self._last, 1 << self._numbering.bits
        if is_reference:
            self._last = number
        follows = kind == IDR or last is None or (number - last) % modulus < 2
        return not follows and not self._numbering.may_skip


def _numbering(sps: bytes) -> Numbering | None:
    """Parse ITU-T H.264, 7.3.2.1.1, up to gaps_in_frame_num_value_allowed_flag; None if the SPS is truncated."""
    try:
        bits = _Bits(sps)
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        has_planes = False
        if profile in WITH_CHROMA:
            chroma = bits.golomb()
            has_planes = chroma == 3 and bits.take(1) == 1
            bits.golomb()
            bits.golomb()
            bits.take(1)
            if bits.take(1):
                for index in range(12 if chroma == 3 else 8):
                    if bits.take(1):
                        _skip_scaling(bits, 16 if index < 6 else 64)
        size = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            bits.golomb()
            bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb()
        return Numbering(size, bits.take(1) == 1, has_planes)
    except IndexError:
        return None


def _skip_scaling(bits: "_Bits", size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.golomb()
            following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
        last = following or last


class _Bits:
    """Reads the bits of a NAL unit, without its emulation prevention bytes."""

    def __init__(self, unit: bytes) -> None:
        self._bytes = unit.replace(b"\0\0\3", b"\0\0")
        self._position = 0

    def take(self, count: int) -> int:
        """The next bits as a number. Raises IndexError at the end."""
        value = 0
        for position in range(self._position, self._position + count):
            value = value << 1 | self._bytes[position >> 3] >> (7 - (position & 7)) & 1
        self._position += count
        return value

    def golomb(self) -> int:
        """The next number in Exp-Golomb code, ue(v). Raises IndexError at the end."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
