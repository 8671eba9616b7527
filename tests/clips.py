"""Small real clips for tests, made with PyAV and OpenCV. For the truth, they are read back without Watchline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def picture(index: int, width: int = 64, height: int = 48) -> Image:
    """A smooth picture (height, width, 3) BGR whose brightness encodes its index and whose corners differ."""
    x = np.linspace(40, 200, width, dtype=np.float32)[None, :]
    y = np.linspace(40, 200, height, dtype=np.float32)[:, None]
    blue, green = np.broadcast_to(x, (height, width)), np.broadcast_to(y, (height, width))
    red = np.full((height, width), 40 + 8 * index % 160, np.float32)
    return np.stack([blue, green, red], -1).astype(np.uint8)


def write_clip(
    path: Path,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    *,
    rate: int | Fraction = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    audio: str | None = None,
    audio_seconds: float | None = None,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    draw: Callable[[int], Image] | None = None,
    format: str | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Write a video of `frames` pictures, at `pts` (units of `time_base`) or at a constant rate, with a 440 Hz tone.

    Args:
        size: (width, height).
        codec, pix_fmt, options: of the video encoder. `container`: options of the muxer. `audio`: an audio encoder.
        rotation: degrees by which a player rotates the picture counter-clockwise; `matrix`: nine numbers instead.
        draw: makes the BGR picture of an index; `picture` if None.
        colorspace, color_range: ITU-T H.273 matrix; 1 limited or 2 full. Pixels are converted and tagged with them.
    """
    width, height = size
    base = time_base or 1 / Fraction(rate)
    muxer = {"fflags": "+bitexact", **(container or {})}  # no random numbers: the same bytes each time
    out = av.open(str(path), "w", format=format, container_options=muxer)
    with out:
        video = out.add_stream(codec, rate=rate, options=dict(options or {}))
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.time_base = base
        video.time_base = base
        if colorspace is not None:
            video.codec_context.colorspace = colorspace
        if color_range is not None:
            video.codec_context.color_range = color_range
        if pixel_aspect is not None:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            video.set_display_rotation(rotation)
        if matrix:
            video.set_display_matrix(matrix)
        sound = out.add_stream(audio, rate=48000) if audio else None
        for index in range(frames):
            image = draw(index) if draw else picture(index, width, height)
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(
                format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range
            )
            frame.pts, frame.time_base = (pts[index] if pts else index), base
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if sound is not None:
            write_tone(out, sound, audio_seconds or frames / float(rate))
    return path


def write_tone(out: av.container.OutputContainer, sound: av.AudioStream, seconds: float) -> None:
    """Encodes and muxes a quiet 440 Hz tone."""
    block = sound.codec_context.frame_size or 1024
    resampler = av.AudioResampler(sound.codec_context.format.name, "stereo", 48000)
    for start in range(0, int(seconds * 48000), block):
        tone = np.sin(2 * np.pi * 440 / 48000 * np.arange(start, start + block)).astype(np.float32) * 0.2
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        for ready in resampler.resample(frame):
            out.mux(sound.encode(ready))
    out.mux(sound.encode())


@dataclass(frozen=True)
class Decoded:
    """The content of a file, read by PyAV alone: exact seconds, BGR pictures, and the packets of each audio track."""

    seconds: list[Fraction]
    pictures: list[Image]
    audio: list[list[bytes]]


def decode(path: Path) -> Decoded:
    """Decode a file without Watchline."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        seconds, pictures = [], []
        for frame in container.decode(video):
            seconds.append(frame.pts * frame.time_base)
            pictures.append(frame.to_ndarray(format="bgr24"))
        tracks = len(container.streams.audio)
    audio = []
    for track in range(tracks):  # opened anew for each: after a seek the priming packet may be missing
        with av.open(str(path)) as container:
            audio.append([bytes(p) for p in container.demux(audio=track) if p.size])
    return Decoded(seconds, pictures, audio)


def write_photo(path: Path, image: Image | None = None, exif_orientation: int | None = None) -> Path:
    """Write a photo in the format of its suffix; a JPEG with an EXIF orientation (1 to 8) if given."""
    image = picture(0) if image is None else image
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, image)
    assert done
    raw = data.tobytes()
    if exif_orientation:
        tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([exif_orientation, 0, 0, 0]) + b"\0\0\0\0"
        body = b"Exif\0\0" + tiff
        raw = raw[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + raw[2:]
    path.write_bytes(raw)
    return path
