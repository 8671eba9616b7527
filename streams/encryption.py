"""Whether a video is encrypted: Common Encryption in MP4 and WebM, scrambling in MPEG-TS."""

from pathlib import Path
from typing import Any

import av

TS_PACKET, M2TS_PACKET = 188, 192  # bytes; in M2TS, four of them are before the packet
SYNC, SCRAMBLED, PAYLOAD = 0x47, 0xC0, 0x10  # first byte; bits of the fourth
LOOKED_AT = 1 << 20  # bytes


def is_encrypted(packet: "av.Packet[Any]") -> bool:
    """Whether a packet says how it is encrypted."""
    return bool(packet.has_sidedata("encryption_info"))


def is_scrambled(path: Path) -> bool:
    """Whether most of the first payloads of a transport stream are scrambled. False for files of other formats."""
    with path.open("rb") as file:
        data = file.read(LOOKED_AT)
    for size, start in ((TS_PACKET, 0), (M2TS_PACKET, M2TS_PACKET - TS_PACKET)):
        firsts, fourths = data[start::size], data[start + 3 :: size]
        if len(firsts) > 2 and set(firsts) == {SYNC}:
            payloads = [byte for byte in fourths if byte & PAYLOAD]
            return sum(byte & SCRAMBLED != 0 for byte in payloads) * 2 > len(payloads)
    return False
