"""Annotate files: each source becomes an annotated video, or photos, and a file of events."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from watchline.pipeline.board import Board
from watchline.pipeline.events import header_of
from watchline.pipeline.intake import is_live
from watchline.pipeline.job import Job, name_of
from watchline.pipeline.lanes import Lane, Outcome, Progress
from watchline.pipeline.meter import Meter
from watchline.pipeline.report import Report
from watchline.pipeline.runner import Runner
from watchline.pipeline.sinks.sink import Opening
from watchline.streams.photos import PhotosSource
from watchline.streams.source import LiveSource, Source


class Annotate:
    """A job at work, one source after another.

        work = Annotate(Job(find_sources(["clips/"]).sources, sinks=[Files(Path("out"))]))
        for progress in work.run(): ...
        print(work.report.as_text())

    Attributes:
        outcomes: of the streams that have ended.
        report: of the whole run, once it is over.
    """

    report: Report
    _together = _is_kept = False

    def __init__(self, job: Job) -> None:
        self.outcomes: list[Outcome] = []
        self._job = job
        self._runner = Runner(job.stages, [sink.name for sink in job.sinks], job.latency_budget)
        self._board = Board()
        self._lock = threading.Lock()
        self._sources = {source.stream: source for source in job.sources}
        self._lanes: dict[str, Lane] = {}  # the newest of each stream
        self._finishing: list[Lane] = []  # those that were at work when the last one began
        self._error: BaseException | None = None
        self._started: float | None = None
        self._is_left = False

    @property
    def meter(self) -> Meter:
        """The figures of the run so far."""
        return self._runner.meter

    def stop(self) -> None:
        """Finish what was begun properly, and begin nothing more. Any thread or signal handler may call it."""
        self._runner.stop()

    def run(self) -> Iterator[Progress]:
        """Do the job. Yields how far each stream is, when a frame was written, a live stream's state has changed, or
        it has ended. Who takes long to ask again gets the newest only; no end is left out.

        Raises:
            EngineError, SinkError, ConfigError, …: a stage cannot start, or there is no place for what is written.
        """
        for sink in self._job.sinks:
            sink.check(self._job.inputs)
        thread = threading.Thread(target=self._work, name="dispatcher", daemon=True)
        thread.start()
        try:
            yield from self._board.read()
        finally:
            self._is_left = True  # if it is not over anyway
            self._runner.leave()
            thread.join()
        if self._error is not None:
            raise self._error
        seconds = time.monotonic() - self._started if self._started else 0.0
        self.report = Report.of(
            self._runner.ledger, self._runner.meter, seconds, self._advice(), self._runner.control.budget.verdict()
        )

    def _work(self) -> None:
        """In a thread of its own: no frame waits for whoever looks at the progress."""
        try:
            with closing(self._runner.deliveries(self._job.sources, self._together, self._is_kept)) as deliveries:
                for delivery in deliveries:
                    self._started = self._started or time.monotonic()
                    self._lane(delivery.message.stream).put(delivery)
        except BaseException as error:
            self._error = error
        finally:
            self._end_lanes()
            self._runner.settle()
            self._board.close()

    def _lane(self, stream: str) -> Lane:
        """The lane of a stream; one that comes again under the name of one that has ended has a lane of its own."""
        with self._lock:
            lane = self._lanes.get(stream)
            if lane is None or lane.is_complete:
                self._finishing = [each for each in (*self._finishing, *self._lanes.values()) if each.outcome is None]
                if not self._together:  # one after another, to the last byte
                    for each in self._finishing:
                        each.wait()
                    self._lanes.clear()  # of thousands, none is of use any more
                lane = self._lanes[stream] = self._new_lane(self._sources[stream])
            return lane

    def _new_lane(self, source: Source | LiveSource) -> Lane:
        job = self._job
        for sink in job.sinks:
            self._runner.meter.use(sink.name, 1 + sum(not each.is_complete for each in self._lanes.values()))
        return Lane(
            source.stream,
            is_live(source),
            job.conceal(name_of(source)) if is_live(source) else name_of(source),
            partial(self._opening, source),
            job.sinks,
            self._runner.control,
            self._tell,
            job.conceal,
        )

    def _opening(self, source: Source | LiveSource, name: str) -> Opening:
        job = self._job
        return Opening(
            stream=source.stream,
            is_live=is_live(source),
            header=header_of(job.conceal(name), source.stream, job.stages, self._runner.about),
            album=job.album_of(source),
            are_photos=isinstance(source, PhotosSource),
            inputs=job.inputs,
            subtitles=any(kind.subtitle for stage in job.stages for kind in stage.gives),
            counted={name: keys for stage in job.stages for name, keys in stage.counts.items()},
        )

    def _tell(self, progress: Progress, outcome: Outcome | None) -> None:
        """In a lane's thread."""
        if outcome is not None:
            self.outcomes.append(outcome)
        self._board.post(progress)

    def _end_lanes(self) -> None:
        """All streams are over, or the job is left: then the lanes finish as far as they are."""
        with self._lock:
            lanes = [*self._finishing, *self._lanes.values()]
        for lane in lanes:
            if self._error is not None or self._is_left or not lane.is_complete:
                lane.leave()
        for lane in lanes:
            lane.wait()

    def _advice(self) -> dict[str, str]:
        stages = {stage.name: stage.advice for stage in self._job.stages}
        return stages | {sink.name: sink.advice for sink in self._job.sinks}
