"""Whether a file has all the bytes that its container declares. This is exact, not a guess by duration.

MP4 and MOV are a sequence of boxes, AVI is a sequence of RIFF chunks, Matroska is one segment. Each of these has its
size in front of its content. Nothing can be said of files that were never finished (a live Matroska of unknown size),
and of formats without such sizes (MPEG-TS, raw H.264).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MEDIA_BOXES = frozenset({b"moov", b"moof", b"mdat"})
OTHER_BOXES = frozenset(
    {b"ftyp", b"styp", b"sidx", b"free", b"skip", b"wide", b"uuid", b"meta", b"mfra", b"prft", b"emsg"}
)


def missing_bytes(path: Path) -> int:
    """How many bytes the container declares beyond the end of the file; 0 if the file is complete, or unknown."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in MEDIA_BOXES | OTHER_BOXES:
            return max(0, max((end for kind, end in mp4_boxes(file, size) if kind in MEDIA_BOXES), default=0) - size)
        if head[:4] == b"RIFF":
            return max(0, _riff_end(file, size) - size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return max(0, _matroska_end(file) - size)
    return 0


def is_fragmented(path: Path) -> bool:
    """Whether it is a fragmented MP4. No fragment says how many follow it."""
    with path.open("rb") as file:
        return any(kind == b"moof" for kind, _ in mp4_boxes(file, path.stat().st_size))


def whole_boxes_end(path: Path) -> int:
    """Offset of the end of the last complete top-level box of an MP4; 0 if the file is not an MP4."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return max((end for _, end in mp4_boxes(file, size) if end <= size), default=0)


def mp4_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """The type and the declared end of each top-level box, up to the first that is unknown or ends after `size`."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - start
        if length < 8 or kind not in MEDIA_BOXES | OTHER_BOXES:
            return
        start += length
        yield kind, start


def _riff_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 12 <= size:
        file.seek(end)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] not in (b"AVI ", b"AVIX"):
            break
        end += 8 + int.from_bytes(head[4:8], "little")
    return end


def _matroska_end(file: BinaryIO) -> int:
    """The end of the first segment; 0 if its size is unknown."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """An EBML integer. Its length in bytes is its number of leading zero bits plus one. All ones: unknown, None."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    mask = (1 << (7 - more)) - 1
    value = int.from_bytes(bytes([first[0] & mask]) + file.read(more), "big")
    return None if value == (1 << (7 * (more + 1))) - 1 else value
