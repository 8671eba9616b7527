"""Marks: a number and a time, drawn into a picture as black and white blocks, so that a test can identify it.

    row by row, most significant bit first: 16 bits counter, 48 bits microseconds of CLOCK_MONOTONIC, 16 bits checksum

Blocks are large enough to survive a video encoder. This file imports no packages, because the test server, which draws
the marks, runs under the system's Python.
"""

import binascii
from typing import Any, NamedTuple

COLUMNS, ROWS = 20, 4
COUNTER_BITS, TIME_BITS, CHECK_BITS = 16, 48, 16
BLACK, WHITE = 32, 220


class Mark(NamedTuple):
    """Attributes:
    counter: of the picture, modulo 2^16.
    monotonic_ns: `time.monotonic_ns()` when it was drawn, to the microsecond.
    """

    counter: int
    monotonic_ns: int


def block_size(width: int) -> int:
    """Side of a block in pixels, in a picture of this width. The mark is 20 blocks wide and 4 high, at the top left."""
    return width // COLUMNS


def bits_of(counter: int, monotonic_ns: int) -> list[int]:
    """The 80 bits of a mark, in the order of its blocks."""
    body = (counter % (1 << COUNTER_BITS)) << TIME_BITS | (monotonic_ns // 1000) % (1 << TIME_BITS)
    whole = body << CHECK_BITS | _checksum(body)
    return [whole >> index & 1 for index in reversed(range(COLUMNS * ROWS))]


def read_mark(bgr: Any) -> Mark | None:
    """Args: a picture (H, W, 3) uint8. Returns: its mark; None if it has none, or one whose checksum is wrong."""
    size = block_size(bgr.shape[1])
    inset = size // 4
    whole = 0
    for index in range(COLUMNS * ROWS):
        y, x = index // COLUMNS * size, index % COLUMNS * size
        light = bgr[y + inset : y + size - inset, x + inset : x + size - inset].mean()
        whole = whole << 1 | int(light > (BLACK + WHITE) / 2)
    body, checksum = whole >> CHECK_BITS, whole % (1 << CHECK_BITS)
    if checksum != _checksum(body):
        return None
    return Mark(body >> TIME_BITS, body % (1 << TIME_BITS) * 1000)


def _checksum(body: int) -> int:
    return binascii.crc_hqx(body.to_bytes((COUNTER_BITS + TIME_BITS) // 8, "big"), 0xFFFF)
