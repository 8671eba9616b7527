"""What this build of FFmpeg can decode and encode."""

from typing import Literal

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError

DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
ENCODERS = ("libx264", "libx265", "h264_nvenc", "hevc_nvenc")


def decoders() -> dict[str, bool]:
    """Which of the usual video decoders are built in."""
    return {name: _built_in(name, "r") for name in DECODERS}


def encoders() -> dict[str, bool]:
    """Which of the usual video encoders are built in. NVIDIA's also need its driver and a GPU."""
    return {name: _built_in(name, "w") for name in ENCODERS}


def ffmpeg() -> str:
    """The version of FFmpeg inside PyAV, e.g. "8.0"."""
    return str(av.ffmpeg_version_info)


def _built_in(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        Codec(name, mode)
    except UnknownCodecError:
        return False
    return True
