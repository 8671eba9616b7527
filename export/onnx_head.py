"""The outermost fields of an ONNX file, found by stepping over what lies in them: no weight is read.

ONNX is protobuf: fields one after another, each a number, a kind, and a value or a length with as many bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

IR_VERSION, GRAPH, OPSET, METADATA = 1, 7, 8, 14  # numbers of onnx.ModelProto's fields
FIELDS = range(1, 27)  # that a ModelProto may have, and some to come
OURS = b"watchline."
LONGEST_KEY = 256  # bytes of a property that are looked at
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # kinds of value


@dataclass(frozen=True)
class OnnxHead:
    """Attributes:
    cut: the file ends before a field does, or before all that must be there.
    ours: it carries metadata of Watchline.
    """

    cut: bool
    ours: bool


def read_head(path: Path) -> OnnxHead | None:
    """What the file says of itself; None if it is no ONNX."""
    size, reached = path.stat().st_size, 0
    seen: set[tuple[int, int]] = set()
    ours = False
    with path.open("rb") as file:
        for number, kind, end in _fields(file):
            if number not in FIELDS or (not seen and (number, kind) != (IR_VERSION, VARINT)):
                return None
            seen.add((number, kind))
            reached = end
            if number == METADATA and kind == BYTES:
                ours = ours or OURS in file.read(min(LONGEST_KEY, end - file.tell()))
            if end > size:
                break
            file.seek(end)
    return OnnxHead(reached != size or (OPSET, BYTES) not in seen, ours) if (GRAPH, BYTES) in seen else None


def _fields(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """(number, kind, where it ends) of each field; ends early where there is none. The caller seeks to the end."""
    while (tag := _varint(file)) is not None:
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            if _varint(file) is None:
                return
            yield number, kind, file.tell()
        elif kind == BYTES:
            length = _varint(file)
            if length is None:
                return
            yield number, kind, file.tell() + length
        elif kind in (FIXED64, FIXED32):
            yield number, kind, file.tell() + (8 if kind == FIXED64 else 4)
        else:
            return


def _varint(file: BinaryIO) -> int | None:
    """Seven bits a byte, the lowest first; None at the end of the file or if it goes on for too long."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
