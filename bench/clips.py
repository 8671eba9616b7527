"""Clips for the measurements: a real video, scaled and repeated to the requested length, made once."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

import av

from watchline.files import replacing

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}


def scaled(source: Path, name: str, frames: int, folder: Path, rate: int = 25) -> Path:
    """Encode `source` as H.264 of the size `name` ("360p", "720p", "1080p"), repeated until it has `frames` frames."""
    path = folder / f"{source.stem}-{name}-{frames}-{rate}.mp4"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[name]
    with replacing(path) as part, av.open(str(part), "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        pictures = chain.from_iterable(map(_pictures, repeat(source)))
        for index, picture in zip(range(frames), pictures, strict=False):
            small = picture.reformat(width, height, "yuv420p")
            small.pts, small.time_base = index, Fraction(1, rate)
            out.mux(video.encode(small))
        out.mux(video.encode())
    return path


def _pictures(source: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(source), metadata_errors="replace") as container:
        yield from container.decode(video=0)
