"""Annotate files: each source becomes an annotated video, or photos, and a file of events."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchline.pipeline.errors import one_line
from watchline.pipeline.message import End, Failure, Item, Message, State
from watchline.pipeline.meter import DECODER
from watchline.pipeline.outputs import UNWRITTEN, FileOutput, Output, Unwritten
from watchline.pipeline.report import Report
from watchline.pipeline.runner import LATENCY_BUDGET, Runner
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.photos import PhotosSource
from watchline.streams.source import About, LiveSource, Source
from watchline.streams.write.jsonl import JsonlWriter
from watchline.streams.write.mp4 import Mp4Sink
from watchline.version import VERSION

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
        place: what puts each stage where it shall run; without, all run in threads of this process.
        latency_budget: seconds after its arrival until which a live frame must be through, or be dropped.
        events: where the events of all streams go as well.
        conceal: what takes secrets out of a text before it is written.

    Attributes:
        outcomes: of the streams that have ended.
        report: of the whole run, once it is over.
    """

    report: Report
    _together = False

    def __init__(
        self,
        sources: Sequence[Source | LiveSource],
        detector: Detector,
        annotator: Annotator,
        out: Path | None,
        video: Mp4Sink | None,
        stages: Sequence[Stage] = (),
        place: Callable[[Stage], Stage] = lambda stage: stage,
        latency_budget: float = LATENCY_BUDGET,
        events: JsonlWriter | None = None,
        conceal: Callable[[str], str] = str,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._sources = {source.stream: source for source in sources}
        self._order = sources
        self._detector = detector
        self._out = out
        self._video = video
        self._events = events
        self._conceal = conceal
        chain = [detector, *stages, *([annotator] if video else [])]
        self._runner = Runner([place(stage) for stage in chain], "encoder" if video else "writer", latency_budget)

    def stop(self) -> None:
        """Finish what was begun properly, and begin nothing more. Any thread or signal handler may call it."""
        self._runner.stop()

    def run(self) -> Iterator[Progress]:
        """Do the job. Yields after each frame that was written, at each change of a live stream's state, and at the
        end of each stream.

        Raises:
            EngineError, ConfigError: the detector cannot start.
        """
        settings = self._settings()
        outputs: dict[str, Output] = {}
        started: float | None = None
        with ExitStack() as unfinished, closing(self._runner.run(self._order, self._together)) as messages:
            unfinished.callback(_finish, outputs)
            for message in messages:
                stream = message.stream
                started = started or time.monotonic()
                if stream not in outputs:
                    outputs[stream] = self._output(self._sources[stream], settings)
                output = outputs[stream]
                if not isinstance(message, End | Failure):
                    self._take(output, message)
                if isinstance(message, Item | State) and output.error is None:
                    yield Progress(stream, output.about, output.frames)
                if isinstance(message, End | Failure):
                    yield from self._end(outputs.pop(stream), message)
            yield from self._settle()
        seconds = time.monotonic() - started if started else 0.0
        self.report = Report.of(self._runner.ledger, self._runner.meter, seconds)

    def _end(self, output: Output, message: End | Failure) -> Iterator[Progress]:
        """A stream is over: finish its files."""
        yield self._finished(output, message)

    def _settle(self) -> Iterator[Progress]:
        """All streams are over."""
        yield from ()

    def _finished(self, output: Output, message: End | Failure) -> Progress:
        self._take(output, message)
        outcome = _outcome(message, output, self._sources[message.stream])
        self.outcomes.append(outcome)
        return Progress(message.stream, output.about, outcome.frames, True, outcome.error, outcome.interrupted)

    def _take(self, output: Output, message: Message) -> None:
        """Let a stream's output have a message; whatever it raises ends that stream only."""
        if output.error is not None:
            return
        try:
            output.take(message)
        except Unwritten:
            self._runner.refuse(UNWRITTEN)
        except Exception as error:
            log.debug("%s failed", message.stream, exc_info=True)
            output.fail(one_line(error))
            self._runner.abandon(message.stream)

    def _output(self, source: Source | LiveSource, settings: Mapping[str, Any]) -> Output:
        """The output of a stream, not open yet."""
        photos = isinstance(source, PhotosSource)
        inputs = [path for each in self._order for path in inputs_of(each)]
        return FileOutput(
            source.stream, settings, self._folder(source), self._video, photos, inputs, self._events, self._conceal
        )

    def _folder(self, source: Source | LiveSource) -> Path | None:
        """Where a stream's outputs go; photos of several albums, which may share names, into a folder each."""
        albums = sum(isinstance(each, PhotosSource) for each in self._order)
        apart = isinstance(source, PhotosSource) and self._video and albums > 1
        return self._out / source.stream if self._out and apart else self._out

    def _settings(self) -> dict[str, Any]:
        """What every events file says of how it was made: all that decides its bytes, and nothing of this machine."""
        engine = self._detector.load()
        about, size, runtime = engine.metadata, engine.size, engine.runtime
        engine.close()
        detector = self._detector
        return {
            "version": VERSION,
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


def _finish(outputs: dict[str, Output]) -> None:
    """The job was left: what is open is finished as far as it goes."""
    for output in outputs.values():
        output.fail("the job was left")


def _outcome(message: End | Failure, output: Output, source: Source | LiveSource) -> Outcome:
    error = output.error
    if error is None and isinstance(message, Failure):
        error = message.why if message.where == DECODER else f"the {message.where} failed on {message.why}"
    return Outcome(
        stream=message.stream,
        name=output.about.name if output.about else next((path.name for path in inputs_of(source)), source.stream),
        frames=output.frames,
        outputs=tuple(path for path in output.paths if path.exists()),
        error=error,
        notes=(*output.notes, *(message.notes if isinstance(message, End) else ())),
        interrupted=isinstance(message, End) and not message.whole,
    )


def inputs_of(source: Source | LiveSource) -> list[Path]:
    """The files that must not be overwritten."""
    paths = getattr(source, "paths", None) or [getattr(source, "path", None)]
    return [Path(path) for path in paths if path is not None]
