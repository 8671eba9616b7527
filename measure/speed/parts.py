"""What each part of the chain costs for itself, one after another in one thread: together they are the ceiling.

The number of cores divided by the parts' processor time per frame is the ceiling of the chain: no schedule of this work
is faster on this machine. Processor time counts, not the clock, so that other programs matter little.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from watchline.measure.errors import DataRefused
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.link import Link
from watchline.pipeline.message import Item
from watchline.pipeline.opencv_threads import single_threaded
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.modelled import Engines
from watchline.pipeline.stages.stage import Stage, Work, work_of
from watchline.streams.file import FileSource
from watchline.streams.frame import Frame
from watchline.streams.source import About
from watchline.streams.write.mp4 import Mp4Sink

WARM_UP = 5  # frames that do not count: first calls allocate
Times = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the chain. Milliseconds per frame.

    Attributes:
        cpu: processor time, of all threads that the part uses.
        wall: by the clock, (p50, p95, p99).
    """

    cpu: float
    wall: Times


class _Watch:
    """Notes what parts need for each frame."""

    def __init__(self) -> None:
        self._cpu: dict[str, list[float]] = defaultdict(list)
        self._wall: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, part: str, frames: int = 1) -> Iterator[None]:
        """What runs in the context is the part's work on the next frames, so many."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self._wall[part] += [(time.perf_counter() - wall) / frames] * frames
        self._cpu[part] += [(time.process_time() - cpu) / frames] * frames

    def parts(self, frames: int) -> dict[str, Part]:
        """Of the frames behind the warm-up, up to their number."""
        measured = slice(WARM_UP, frames)
        return {
            name: Part(float(np.mean(cpu[measured])) * 1e3, milliseconds(self._wall[name][measured]))
            for name, cpu in self._cpu.items()
        }


def milliseconds(seconds: Sequence[float]) -> Times:
    """The p50, p95 and p99 of durations in seconds; zeros without any."""
    p50, p95, p99 = np.percentile(seconds, (50, 95, 99)).tolist() if seconds else (0.0, 0.0, 0.0)
    return p50 * 1e3, p95 * 1e3, p99 * 1e3


def parts(clip: Path, stages: Sequence[Stage], out: Path, video: Mp4Sink | None, frames: int = 60) -> dict[str, Part]:
    """Measure decode, resize, engine, nms, the other stages by name (the annotator is "draw"), link and encode.

    Args:
        clip: a file.
        stages: of the chain; its first is the detector.
        out: folder for the video.
        video: its settings; None for events only.
        frames: of the clip, that are taken; the first ones do not count.

    Raises:
        DataRefused: the clip has too few frames.
        StreamError, EngineError, SinkError, …: as the parts.
    """
    detector, *others = stages
    assert isinstance(detector, Detector), "the chain begins with the detector"
    watch, done = _Watch(), 0
    with single_threaded(), ExitStack() as stack:
        reader = stack.enter_context(FileSource(clip, threads=1).open())
        detect = _Steps(detector, stack.enter_context(detector.opened(1)), watch)
        works = [(_name(stage), _begun(stage, clip.stem, reader.about, stack)) for stage in others]
        encoder = replace(video, threads=1) if video else None
        writer = stack.enter_context(encoder.open(out / "parts.mp4", reader.about)) if encoder else None
        cross = stack.enter_context(_crossing(len(stages) + 1))  # behind the decoder and behind each stage
        decoded = islice(iter(reader), frames)
        while batch := _decoded(decoded, detector.batch, watch):
            items = detect(batch)
            for name, work in works:
                with watch.of(name, len(items)):
                    items = work(items)
            for item in items:
                with watch.of("link"):
                    cross(item)
                if writer is not None and item.drawn is not None:
                    with watch.of("encode"):
                        writer.write(item.drawn, item.frame.pts, item.frame.time_base)
            done += len(items)
    if done < 2 * WARM_UP:
        raise DataRefused(f"{clip}: {done} frames are too few to measure with: expected {2 * WARM_UP} at least")
    return watch.parts(done)


def _decoded(frames: Iterator[Frame], count: int, watch: _Watch) -> list[Frame]:
    batch: list[Frame] = []
    while len(batch) < count:
        with watch.of("decode"):
            frame = next(frames, None)
        if frame is None:
            break
        batch.append(frame)
    return batch


class _Steps:
    """What the detector does, one step after another."""

    def __init__(self, settings: Detector, engines: Engines, watch: _Watch) -> None:
        self._settings, self._engines, self._watch = settings, engines, watch
        self._wanted = np.isin(engines.labels, settings.classes or engines.labels)

    def __call__(self, frames: Sequence[Frame]) -> list[Item]:
        own = self._settings
        with self._watch.of("resize", len(frames)):
            fits, pixels = self._engines.prepared([frame.picture for frame in frames])
        with self._watch.of("engine", len(frames)):
            arrays = self._engines.run(pixels)
        with self._watch.of("nms", len(frames)):
            found = [
                outputs.detections(
                    conf=own.conf, iou=own.iou, wanted=self._wanted, several=own.several, agnostic=own.agnostic
                )
                for outputs in self._engines.outputs(arrays, fits)
            ]
        return [Item(frame).with_result(DETECTIONS, each) for frame, each in zip(frames, found, strict=True)]


def _name(stage: Stage) -> str:
    return "draw" if isinstance(stage, Annotator) else stage.name


def _begun(stage: Stage, stream: str, about: About, stack: ExitStack) -> Work:
    """A stage at work on a stream."""
    work = work_of(stack.enter_context(stage.open()))
    if stage.order == "stream":
        work.begin(stream, about, None)
    return work


@contextmanager
def _crossing(links: int) -> Iterator[Callable[[Item], None]]:
    """What sends an item over so many links, one after another."""
    link: Link[Item] = Link("measured", threading.Event())
    with link.sender() as sender:

        def cross(item: Item) -> None:
            for _ in range(links):
                sender.send(item)
                link.receive()

        yield cross
    link.close()
