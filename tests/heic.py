"""HEIC photos as phones write them, a grid of H.265 tiles (ISO/IEC 23008-12), for tests."""

import io
import struct
from pathlib import Path

import av
import numpy as np

TILE = 128  # pixels of a side


def write_heic(
    path: Path, colours: list[tuple[int, int, int]], columns: int, size: tuple[int, int], turns: int = 0
) -> Path:
    """Write a photo of tiles, each of one BGR colour, row by row; `size` cuts the last column and row.

    Args:
        turns: quarter turns counter-clockwise at which it is shown.
    """
    tiles = [_tile(colour) for colour in colours]
    ftyp = _box(b"ftyp", b"heic", struct.pack(">I", 0), b"mif1heic")
    size_of_meta = len(_meta(tiles, columns, size, turns, 0))
    meta = _meta(tiles, columns, size, turns, len(ftyp) + size_of_meta + 8)
    path.write_bytes(ftyp + meta + _box(b"mdat", *(data for _, data in tiles)))
    return path


def _tile(colour: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """Its hvcC and its packet, as FFmpeg writes them into an MP4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        track = out.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:bframes=0"})
        track.width, track.height, track.pix_fmt, track.codec_context.codec_tag = TILE, TILE, "yuv420p", "hvc1"
        frame = av.VideoFrame.from_ndarray(np.full((TILE, TILE, 3), colour, np.uint8), format="bgr24")
        out.mux([*track.encode(frame), *track.encode()])
    file.seek(0)
    with av.open(file) as written:
        video = written.streams.video[0]
        return bytes(video.codec_context.extradata or b""), b"".join(bytes(packet) for packet in written.demux(video))


def _meta(tiles: list[tuple[bytes, bytes]], columns: int, size: tuple[int, int], turns: int, offset: int) -> bytes:
    """The box that says which bytes, from `offset` on, are which tile, and how the grid (the last item) is made."""
    count, grid = len(tiles), len(tiles) + 1
    numbers = range(1, count + 1)
    width, height = size
    kinds = [_full(b"infe", 2, 1, struct.pack(">HH4s", number, 0, b"hvc1"), b"\0") for number in numbers]
    kinds.append(_full(b"infe", 2, 0, struct.pack(">HH4s", grid, 0, b"grid"), b"\0"))
    properties = [
        _box(b"hvcC", tiles[0][0]),
        _full(b"ispe", 0, 0, struct.pack(">II", TILE, TILE)),
        _full(b"ispe", 0, 0, struct.pack(">II", width, height)),
        _box(b"irot", bytes([turns])),
    ]
    owners = [struct.pack(">HBBB", number, 2, 0x81, 2) for number in numbers]
    owners.append(struct.pack(">HBBB", grid, 2, 3, 0x84))
    places = []
    for number, (_, data) in zip(numbers, tiles, strict=True):
        places.append(struct.pack(">HHHHII", number, 0, 0, 1, offset, len(data)))
        offset += len(data)
    places.append(struct.pack(">HHHHII", grid, 1, 0, 1, 0, 8))
    return _full(
        b"meta", 0, 0,
        _full(b"hdlr", 0, 0, struct.pack(">I4s", 0, b"pict"), bytes(13)),
        _full(b"pitm", 0, 0, struct.pack(">H", grid)),
        _full(b"iloc", 1, 0, struct.pack(">BBH", 0x44, 0, grid), *places),
        _full(b"iinf", 0, 0, struct.pack(">H", grid), *kinds),
        _full(b"iref", 0, 0, _box(b"dimg", struct.pack(f">HH{count}H", grid, count, *numbers))),
        _box(b"iprp", _box(b"ipco", *properties), _full(b"ipma", 0, 0, struct.pack(">I", grid), *owners)),
        _box(b"idat", struct.pack(">BBBBHH", 0, 0, count // columns - 1, columns - 1, width, height)),
    )  # fmt: skip


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
