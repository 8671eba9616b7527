"""Watchline: detect, annotate and report what cameras and video files show, at frame rate.

    import watchline

    for frame, detections in watchline.detect("clip.mp4"):
        print(frame.seconds, detections.names, detections.xyxy)

What the classes and functions do is said where they are defined.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from watchline import telemetry as _switched_off  # noqa: F401  before any other import
from watchline.version import VERSION

if TYPE_CHECKING:
    from watchline.errors import WatchlineError
    from watchline.ops.canvas import Canvas
    from watchline.ops.class_map import ClassMap
    from watchline.ops.detections import Detection, Detections
    from watchline.ops.draw import draw
    from watchline.ops.masks import Masks
    from watchline.pipeline.annotate import Annotate
    from watchline.pipeline.ask import ask
    from watchline.pipeline.caption import caption
    from watchline.pipeline.detect import detect
    from watchline.pipeline.job import Job
    from watchline.pipeline.kinds.answer import ANSWER, Answer
    from watchline.pipeline.kinds.caption import CAPTION, Caption
    from watchline.pipeline.kinds.class_map import CLASS_MAP
    from watchline.pipeline.kinds.detections import DETECTIONS
    from watchline.pipeline.kinds.instances import INSTANCES
    from watchline.pipeline.kinds.kind import Kind
    from watchline.pipeline.message import Begin, Dropped, End, Event, Failure, Item, Message, State
    from watchline.pipeline.runner import Runner
    from watchline.pipeline.segment import segment
    from watchline.pipeline.sinks.files import Files
    from watchline.pipeline.sinks.hourly import Hourly
    from watchline.pipeline.sinks.jsonl import Jsonl
    from watchline.pipeline.sinks.mot import Mot
    from watchline.pipeline.sinks.sink import Opening, Sink, Unwritten, Writer
    from watchline.pipeline.stages.annotator import Annotator
    from watchline.pipeline.stages.asker import Asker
    from watchline.pipeline.stages.captioner import Captioner
    from watchline.pipeline.stages.detector import Detector
    from watchline.pipeline.stages.lines import Line, Lines
    from watchline.pipeline.stages.motion import Motion
    from watchline.pipeline.stages.segmenter import Segmenter
    from watchline.pipeline.stages.speed import Speed
    from watchline.pipeline.stages.stage import Process, Stage, Work
    from watchline.pipeline.stages.tracker import Tracker
    from watchline.pipeline.stages.zones import Zone, Zones
    from watchline.pipeline.track import track
    from watchline.pipeline.watch import Watch
    from watchline.streams.events.table import read_events
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
    "ANSWER",
    "CAPTION",
    "CLASS_MAP",
    "DETECTIONS",
    "INSTANCES",
    "About",
    "Annotate",
    "Annotator",
    "Answer",
    "ArrayPicture",
    "Asker",
    "Begin",
    "Canvas",
    "Caption",
    "Captioner",
    "ClassMap",
    "Detection",
    "Detections",
    "Detector",
    "DeviceSource",
    "Dropped",
    "End",
    "Event",
    "Failure",
    "FileSource",
    "Files",
    "Frame",
    "Hourly",
    "Item",
    "Job",
    "Jsonl",
    "Kind",
    "Line",
    "Lines",
    "Masks",
    "Message",
    "Mot",
    "Motion",
    "Mp4Sink",
    "NetworkSource",
    "Opening",
    "PacedSource",
    "Process",
    "Runner",
    "Segmenter",
    "Sink",
    "Speed",
    "Stage",
    "State",
    "Tracker",
    "Unwritten",
    "Watch",
    "WatchlineError",
    "Work",
    "Writer",
    "Zone",
    "Zones",
    "__version__",
    "ask",
    "caption",
    "detect",
    "draw",
    "find_sources",
    "read_events",
    "segment",
    "track",
]

_HOMES = {
    "errors": ("WatchlineError",),
    "ops.canvas": ("Canvas",),
    "ops.class_map": ("ClassMap",),
    "ops.detections": ("Detection", "Detections"),
    "ops.draw": ("draw",),
    "ops.masks": ("Masks",),
    "pipeline.annotate": ("Annotate",),
    "pipeline.ask": ("ask",),
    "pipeline.caption": ("caption",),
    "pipeline.detect": ("detect",),
    "pipeline.job": ("Job",),
    "pipeline.kinds.answer": ("ANSWER", "Answer"),
    "pipeline.kinds.caption": ("CAPTION", "Caption"),
    "pipeline.kinds.class_map": ("CLASS_MAP",),
    "pipeline.kinds.detections": ("DETECTIONS",),
    "pipeline.kinds.instances": ("INSTANCES",),
    "pipeline.kinds.kind": ("Kind",),
    "pipeline.message": ("Begin", "Dropped", "End", "Event", "Failure", "Item", "Message", "State"),
    "pipeline.runner": ("Runner",),
    "pipeline.segment": ("segment",),
    "pipeline.stages.annotator": ("Annotator",),
    "pipeline.stages.asker": ("Asker",),
    "pipeline.stages.captioner": ("Captioner",),
    "pipeline.stages.detector": ("Detector",),
    "pipeline.stages.lines": ("Line", "Lines"),
    "pipeline.stages.motion": ("Motion",),
    "pipeline.stages.segmenter": ("Segmenter",),
    "pipeline.sinks.files": ("Files",),
    "pipeline.sinks.hourly": ("Hourly",),
    "pipeline.sinks.jsonl": ("Jsonl",),
    "pipeline.sinks.mot": ("Mot",),
    "pipeline.sinks.sink": ("Opening", "Sink", "Unwritten", "Writer"),
    "pipeline.stages.speed": ("Speed",),
    "pipeline.stages.stage": ("Process", "Stage", "Work"),
    "pipeline.stages.tracker": ("Tracker",),
    "pipeline.stages.zones": ("Zone", "Zones"),
    "pipeline.track": ("track",),
    "pipeline.watch": ("Watch",),
    "streams.events.table": ("read_events",),
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
