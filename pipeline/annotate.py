"""Annotate files: each source becomes an annotated video, or photos, and a file of events."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from watchline.pipeline.annotator import Annotator
from watchline.pipeline.detector import Detector
from watchline.pipeline.message import Begin, End, Failure, Item
from watchline.pipeline.report import Report
from watchline.pipeline.runner import Runner, one_line
from watchline.pipeline.stage import Stage
from watchline.streams.errors import SinkError
from watchline.streams.jsonl import JsonlSink, JsonlWriter, line_of
from watchline.streams.mp4 import Mp4Sink, Mp4Writer
from watchline.streams.photo_files import PhotoFilesSink, PhotoFilesWriter
from watchline.streams.photos import PhotosSource
from watchline.streams.source import About, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stream is: `frames` written of `about.frames`; `ended`, by an `error` or `interrupted` if not whole."""

    stream: str
    about: About | None
    frames: int
    ended: bool = False
    error: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stream.

    Attributes:
        stream, name: of the stream, and of what it was read from.
        frames: how many were written.
        outputs: files and folders that are there now.
        error: the one line that says why it is not whole; None if it is.
        notes: what was odd, one line each.
        interrupted: the run was stopped before its end.
    """

    stream: str
    name: str
    frames: int
    outputs: tuple[Path, ...]
    error: str | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False


class Annotate:
    """One batch job.

        job = Annotate(find_sources(["clips/"]).sources, Detector(), Annotator(), Path("out"), Mp4Sink())
        for progress in job.run(): ...
        print(job.report.as_text())

    Args:
        sources: what to read, one after another.
        detector, annotator: settings of the stages.
        out: folder for NAME.mp4 and NAME.jsonl of each stream; or, for a single video, the .mp4 itself.
        video: settings of the video and photos that are written; None for events only.
        stages: more stages, between detector and annotator.

    Attributes:
        outcomes: of the streams that have ended.
        report: of the whole run, once it is over.
    """

    report: Report

    def __init__(
        self,
        sources: Sequence[Source],
        detector: Detector,
        annotator: Annotator,
        out: Path,
        video: Mp4Sink | None,
        stages: Sequence[Stage] = (),
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._sources = sources
        self._detector = detector
        self._out = out
        self._video = video
        chain = [detector, *stages, *([annotator] if video else [])]
        self._runner = Runner(chain, last="encoder" if video else "writer")

    def stop(self) -> None:
        """Finish what was begun properly, and begin nothing more. Any thread or signal handler may call it."""
        self._runner.stop()

    def run(self) -> Iterator[Progress]:
        """Do the job. Yields after each frame that was written and at the end of each stream.

        Raises:
            EngineError, ConfigError: the detector cannot start.
        """
        header = self._header()
        inputs = [path for source in self._sources for path in _inputs(source)]
        sources = {source.stream: source for source in self._sources}
        outputs: dict[str, _Output] = {}
        started: float | None = None
        with ExitStack() as unfinished, closing(self._runner.run(self._sources)) as messages:
            unfinished.callback(_finish, outputs)
            for message in messages:
                stream = message.stream
                if isinstance(message, Begin):
                    started = started or time.monotonic()
                    outputs[stream] = _Output(message.about, isinstance(sources[stream], PhotosSource))
                output = outputs.get(stream)
                if output is not None and output.error is None:
                    try:
                        if isinstance(message, Begin):
                            output.open(stream, self._folder(output, stream), self._video, header, inputs)
                        elif isinstance(message, Item):
                            output.write(message)
                        else:
                            output.close(whole=isinstance(message, End) and message.whole)
                    except Exception as error:  # whatever a sink raises ends its own stream only
                        log.debug("%s failed", stream, exc_info=True)
                        output.fail(one_line(error))
                        self._runner.abandon(stream)
                    if isinstance(message, Item) and output.error is None:
                        yield Progress(stream, output.about, output.frames)
                if isinstance(message, End | Failure):
                    outcome = _outcome(message, outputs.pop(stream, None), sources[stream])
                    self.outcomes.append(outcome)
                    about = output.about if output else None
                    yield Progress(stream, about, outcome.frames, True, outcome.error, outcome.interrupted)
        seconds = time.monotonic() - started if started else 0.0
        self.report = Report.of(self._runner.ledger, self._runner.meter, seconds)

    def _folder(self, output: "_Output", stream: str) -> Path:
        """Where a stream's outputs go; photos of several albums, which may share names, into a folder each."""
        albums = sum(isinstance(source, PhotosSource) for source in self._sources)
        return self._out / stream if output.photos and self._video and albums > 1 else self._out

    def _header(self) -> dict[str, Any]:
        """What every events file says of how it was made: all that decides its bytes, and nothing of this machine."""
        engine = self._detector.load()
        about, size, runtime = engine.metadata, engine.size, engine.runtime
        engine.close()
        detector = self._detector
        return {
            "version": version("watchline"),
            "model": {
                "name": about.name,
                "checkpoint": about.checkpoint,
                "size": list(size),
                "runtime": runtime,
                "labels": list(about.labels),
            },
            "config": {
                "conf": detector.conf,
                "iou": detector.iou,
                "classes": list(detector.classes),
                "every": detector.every,
            },
        }


class _Output:
    """The open sinks of one stream."""

    def __init__(self, about: About, photos: bool) -> None:
        self.about = about
        self.frames = 0
        self.error: str | None = None
        self.notes: list[str] = []
        self.paths: list[Path] = []
        self.photos = photos
        self._open = ExitStack()
        self._events: JsonlWriter | None = None
        self._pictures: Mp4Writer | PhotoFilesWriter | None = None

    def open(
        self, stream: str, out: Path, video: Mp4Sink | None, header: Mapping[str, Any], inputs: Sequence[Path]
    ) -> None:
        """Raises SinkError: an output cannot be written."""
        single = out.suffix == ".mp4"
        folder = out.parent if single else out
        if video and self.photos:
            self._pictures = self._open.enter_context(PhotoFilesSink().open(folder, inputs))
        elif video:
            path = out if single else folder / f"{stream}.mp4"
            self._pictures = self._open.enter_context(video.open(path, self.about, inputs))
            self.paths.append(path)
        events = folder / f"{stream}.jsonl"
        header = {"source": self.about.name, **header}
        self._events = self._open.enter_context(JsonlSink().open(events, header, inputs))
        self.paths.append(events)

    def write(self, item: Item) -> None:
        """Raises SinkError: an output cannot be written any further."""
        assert self._events, "a frame came before its stream's beginning"
        frame, found = item.frame, item.detections
        if isinstance(self._pictures, Mp4Writer):
            self._pictures.write(_drawn(item), frame.pts, frame.time_base)
        elif isinstance(self._pictures, PhotoFilesWriter):
            assert frame.file, "a photo has a file name"
            self.paths.append(self._pictures.write(frame.file, _drawn(item)))
        if found is not None:
            self._events.write(line_of(frame, found.boxes, found.scores, found.classes, found.labels))
        self.frames += 1

    def close(self, whole: bool) -> None:
        """Finish the files. Raises SinkError: one cannot be finished."""
        if whole and isinstance(self._pictures, Mp4Writer):
            self._pictures.end()
        self._open.close()
        if isinstance(self._pictures, Mp4Writer):
            self.notes += self._pictures.notes

    def fail(self, error: str) -> None:
        """Something broke: what was written is finished, and the first error stands."""
        self.error = error
        try:
            self.close(whole=False)
        except SinkError as another:
            self.notes.append(str(another))


def _finish(outputs: dict[str, _Output]) -> None:
    """The job was left: what is open is finished as far as it goes."""
    for output in outputs.values():
        output.fail("the job was left")


def _drawn(item: Item) -> Any:
    assert item.drawn is not None, "the annotator draws every frame"
    return item.drawn


def _outcome(message: End | Failure, output: _Output | None, source: Source) -> Outcome:
    error = output.error if output else None
    if error is None and isinstance(message, Failure):
        error = message.why if message.where == "decoder" else f"the {message.where} failed on {message.why}"
    name = output.about.name if output else next((path.name for path in _inputs(source)), source.stream)
    return Outcome(
        stream=message.stream,
        name=name,
        frames=output.frames if output else 0,
        outputs=tuple(path for path in output.paths if path.exists()) if output else (),
        error=error,
        notes=(*(output.notes if output else ()), *(message.notes if isinstance(message, End) else ())),
        interrupted=isinstance(message, End) and not message.whole,
    )


def _inputs(source: Source) -> list[Path]:
    """The files that must not be overwritten."""
    paths = getattr(source, "paths", None) or [getattr(source, "path", None)]
    return [Path(path) for path in paths if path is not None]
