"""Watchline: detect, annotate and report what cameras and video files show, at frame rate.

import watchline

for frame, detections in watchline.detect("clip.mp4"):
    print(frame.seconds, detections.names)
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("watchline")

_HOMES = {
    "Annotator": "pipeline.annotator",
    "ArrayPicture": "streams.frame",
    "Detections": "pipeline.detections",
    "Detector": "pipeline.detector",
    "Frame": "streams.frame",
    "Item": "pipeline.message",
    "Runner": "pipeline.runner",
    "Annotate": "pipeline.annotate",
    "detect": "pipeline.detect",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Load a part of the API when it is first used, so that `watchline --help` starts at once (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'watchline' has no attribute {name!r}")
    return getattr(import_module(f"watchline.{_HOMES[name]}"), name)
