"""Files with several tracks, joined recordings and transport streams of several programmes, made with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
from av.stream import Disposition
from clips import picture, write_clip, write_tone

PACKET = 188  # bytes of a packet of MPEG-TS


def write_tracks(
    path: Path,
    videos: Sequence[tuple[tuple[int, int], int, bool]],
    sounds: Sequence[tuple[str, bool]] = (),
    still: bool = False,
) -> Path:
    """Write a file with these tracks, at 25 frames a second.

    Args:
        videos: size (width, height), frames, and whether it is marked as the default.
        sounds: an encoder, and whether it is marked as the default.
        still: put a picture of 640 x 480, a single frame, before them.
    """
    with av.open(
        str(path), "w", container_options={"default_mode": "passthrough"} if path.suffix == ".mkv" else {}
    ) as out:
        tracks = []
        for size, frames, is_default in [((640, 480), 1, False)] * still + list(videos):
            video = out.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            video.disposition = Disposition.default if is_default else Disposition(0)
            tracks.append((video, frames))
        tones = []
        for codec, is_default in sounds:
            tone = out.add_stream(codec, rate=48000, options={"strict": "-2"})
            tone.disposition = Disposition.default if is_default else Disposition(0)
            tones.append(tone)
        for video, frames in tracks:
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(index, video.width, video.height), "bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(video.encode(frame))
            out.mux(video.encode())
        for tone in tones:
            write_tone(out, tone, 0.5)
    return path


def write_programmes(path: Path, *programmes: tuple[tuple[int, int], str | None]) -> Path:
    """Write a transport stream of several programmes. Args: size and audio encoder of each."""
    streams, table = [], b""
    for number, (size, audio) in enumerate(programmes, 1):
        pids = {"mpegts_start_pid": str(0x100 * number), "mpegts_pmt_start_pid": str(0x1000 + number)}
        alone = path.with_name(f"{number}.ts")
        write_clip(alone, 25, size, audio=audio, container={"mpegts_service_id": str(number), **pids})
        data = alone.read_bytes()
        packets = [data[at : at + PACKET] for at in range(0, len(data), PACKET)]
        streams.append([p for p in packets if (p[1] & 0x1F) << 8 | p[2] > 0x11])
        table += number.to_bytes(2, "big") + (0xE000 | 0x1000 + number).to_bytes(2, "big")
    section = b"\x00" + (0xB000 | len(table) + 9).to_bytes(2, "big") + b"\x00\x01\xc1\x00\x00" + table
    section += _crc(section).to_bytes(4, "big")
    first = b"\x47\x40\x00\x10\x00" + section
    mixed = b"".join(packet for group in zip_longest(*streams, fillvalue=b"") for packet in group)
    path.write_bytes(first.ljust(PACKET, b"\xff") + mixed)
    return path


def _crc(data: bytes) -> int:
    """CRC-32/MPEG-2."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc
