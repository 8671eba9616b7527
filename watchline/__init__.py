"""Watchline: detect, annotate and report what cameras and video files show, at frame rate.

    import watchline

    for frame, detections in watchline.detect("clip.mp4"):
        print(frame.seconds, detections.names)

What the classes and functions do is said where they are defined.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from watchline.version import VERSION

if TYPE_CHECKING:
    from watchline.errors import WatchlineError
    from watchline.ops.detections import Detections
    from watchline.pipeline.annotate import Annotate
    from watchline.pipeline.detect import detect
    from watchline.pipeline.message import Begin, Dropped, End, Failure, Item, State
    from watchline.pipeline.runner import Runner
    from watchline.pipeline.stages.annotator import Annotator
    from watchline.pipeline.stages.detector import Detector
    from watchline.pipeline.stages.stage import Process
    from watchline.pipeline.watch import Watch
    from watchline.streams.file import FileSource
    from watchline.streams.frame import ArrayPicture, Frame
    from watchline.streams.inputs import find_sources
    from watchline.streams.live.device import DeviceSource
    from watchline.streams.live.network import NetworkSource
    from watchline.streams.live.paced import PacedSource
    from watchline.streams.source import About
    from watchline.streams.write.mp4 import Mp4Sink

__version__ = VERSION

__all__ = [
    "About",
    "Annotate",
    "Annotator",
    "ArrayPicture",
    "Begin",
    "Detections",
    "Detector",
    "DeviceSource",
    "Dropped",
    "End",
    "Failure",
    "FileSource",
    "Frame",
    "Item",
    "Mp4Sink",
    "NetworkSource",
    "PacedSource",
    "Process",
    "Runner",
    "State",
    "Watch",
    "WatchlineError",
    "__version__",
    "detect",
    "find_sources",
]

_HOMES = {
    "errors": ("WatchlineError",),
    "ops.detections": ("Detections",),
    "pipeline.annotate": ("Annotate",),
    "pipeline.detect": ("detect",),
    "pipeline.message": ("Begin", "Dropped", "End", "Failure", "Item", "State"),
    "pipeline.runner": ("Runner",),
    "pipeline.stages.annotator": ("Annotator",),
    "pipeline.stages.detector": ("Detector",),
    "pipeline.stages.stage": ("Process",),
    "pipeline.watch": ("Watch",),
    "streams.file": ("FileSource",),
    "streams.frame": ("ArrayPicture", "Frame"),
    "streams.inputs": ("find_sources",),
    "streams.live.device": ("DeviceSource",),
    "streams.live.network": ("NetworkSource",),
    "streams.live.paced": ("PacedSource",),
    "streams.source": ("About",),
    "streams.write.mp4": ("Mp4Sink",),
}


def __getattr__(name: str) -> Any:
    """Load a part of the API when it is first used, so that `watchline --help` starts at once (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"watchline.{home}"), name)
    raise AttributeError(f"module 'watchline' has no attribute {name!r}")
