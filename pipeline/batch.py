"""A job of many files that may be killed at any moment and goes on: a manifest says what is done (docs/batch.md).

    with opened(out) as manifest:
        manifest.plan(planned(sources, job, models_of(job.stages)), retry=False, once=False)
        batch = Batch(job, manifest)
        for progress in batch.run(): ...

The job has no sources: a thread claims the rows of the manifest, hashes the files, and hands them to the runner a few
ahead, so neither memory nor the cost of a file depends on how many there are.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from watchline.files import remove_parts
from watchline.pipeline.annotate import Annotate
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.fingerprint import config_of, content_of, sha256, stamp_of
from watchline.pipeline.job import Job, inputs_of, name_of
from watchline.pipeline.lanes import LEFT, Outcome, Progress
from watchline.pipeline.link import Stopped
from watchline.pipeline.manifest import DONE, FAILED, SAME, WAITING, Figures, Output, Planned, Row
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.sinks.sink import Opening
from watchline.streams.errors import SinkError
from watchline.streams.file import FileSource
from watchline.streams.photos import PhotosSource
from watchline.streams.source import LiveSource, Source
from watchline.streams.write.photo_files import PhotoFilesWriter
from watchline.streams.write.subtitles import SUFFIX

AHEAD = 4  # files that are claimed at once: while one is written, the next ones are read and hashed
LOOK = 0.1  # seconds between looks at whether the run was stopped
ALL = "all files"  # the account of those that are over
CHANGED = "it was changed while it was read: start the job again when it is complete"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a job is.

    Attributes:
        files: that are over, of `total`; those of earlier runs count.
        failed: that have failed, of `files`.
        frames: that this run has written, in `seconds`.
        eta: seconds until the end, by the bytes of the files; None as long as nothing is known.
    """

    files: int
    total: int
    failed: int
    frames: int
    seconds: float
    eta: float | None


def planned(sources: Iterable[Source | LiveSource], job: Job, model: str) -> Iterator[Planned]:
    """What a manifest must know of each source. Args: model, the hash of the job's models.

    Raises:
        ConfigError: a source is neither a video file nor photos.
    """
    configs = Configs(job)
    for source in sources:
        if not isinstance(source, FileSource | PhotosSource):
            raise ConfigError(f"{source.stream} is not a file: a job that can be resumed takes video files and photos")
        try:
            stamp, size = stamp_of(inputs_of(source))
        except OSError:  # it fails when its turn comes
            stamp, size = "", 0
        yield Planned(source.stream, asdict(source), size, stamp, configs.of(source), model)


class Configs:
    """The hashes of a job's settings, as they hold for each source."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._others = [sink for sink in job.sinks if not isinstance(sink, Files)]
        self._video = next((sink.video for sink in job.sinks if isinstance(sink, Files)), None)
        self._is_common = not any(stage.streams for stage in job.stages)
        self._known: dict[int | None, str] = {}  # of settings that hold for all streams, by video track

    def of(self, source: FileSource | PhotosSource) -> str:
        """The hash for a source."""
        track = source.track if isinstance(source, FileSource) else None
        found = self._known.get(track) or config_of(source.stream, self._job.stages, self._video, self._others, track)
        if self._is_common:
            self._known[track] = found
        return found


def source_of(row: Row) -> FileSource | PhotosSource:
    """The source of a row, as it was planned."""
    settings: dict[str, Any] = dict(row.source)
    return PhotosSource(**settings) if "paths" in settings else FileSource(**settings)


def outputs_of(files: Files, source: FileSource | PhotosSource, is_drawn: bool) -> list[Path]:
    """The files that a source may become. Args: is_drawn, pictures too."""
    events, video = files.paths_of(source.stream)
    if not is_drawn:
        return [events]
    if isinstance(source, FileSource):
        return [events, video, video.with_suffix(SUFFIX)]
    photos = PhotoFilesWriter(1, events.parent, source.paths)
    return [events, *(photos.path_of(path.name) for path in source.paths)]


def why_refused(row: Row, files: Files, folder: Path) -> str:
    """Why a row cannot be begun: before it was begun for the first time, what is there is somebody else's. Nothing if
    it can.

    Args:
        files: the sink, which says whether files that are there may be replaced.
        folder: of the outputs.
    """
    source, out = source_of(row), folder.resolve()
    if any(path.resolve().is_relative_to(out) for path in inputs_of(source)):
        return f"it is in {folder}, where outputs go: name another folder with --out"
    if row.tries == 0:
        try:
            for path in outputs_of(files, source, is_drawn=files.video is not None):
                files.refuse_if_there(path)
        except SinkError as error:
            return str(error)
    return ""


def remove_parts_of(files: Files, rows: Iterable[Row]) -> None:
    """Remove what a process that is dead has left half written of these rows."""
    for row in rows:
        remove_parts(outputs_of(files, source_of(row), is_drawn=True))


def remove_outputs(folder: Path, outputs: Iterable[Output]) -> None:
    """Remove what a row has from earlier. A manifest of anybody must not lead to files elsewhere."""
    for each in outputs:
        path = folder / each.path
        if path.parent.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)


class Rows(Protocol):
    """What a batch needs of a manifest; pipeline/manifest.py says what it does."""

    @property
    def folder(self) -> Path: ...

    @property
    def left(self) -> Sequence[Row]: ...

    def claim(self, refuse: Callable[[Row], str]) -> Row | None: ...

    def twin(self, row: Row, content: str) -> str | None: ...

    def finish(
        self, row: Row, state: str, figures: Figures, why: str | None = None, outputs: Sequence[Output] | None = None
    ) -> None: ...

    def release(self, row: Row) -> None: ...

    def outputs(self, row: Row) -> list[Output]: ...

    def counts(self) -> dict[str, tuple[int, int]]: ...


class Batch(Annotate):
    """Does the files that are waiting in a manifest.

    Args:
        job: its sinks begin with Files, which may replace files; it has no sources.
        manifest: that is open, and knows the files.
        may_replace: outputs that are there and not in the manifest.
        once: files of the same content are done once.
        model: hash of the job's models, where another process has planned: a row that was planned with other ones, or
            with other settings, ends the job.
    """

    _is_kept = True

    def __init__(
        self, job: Job, manifest: Rows, may_replace: bool = False, once: bool = False, model: str | None = None
    ) -> None:
        super().__init__(job)
        self._manifest, self._once, self._model = manifest, once, model
        self._configs = Configs(job)
        self._files = next(sink for sink in job.sinks if isinstance(sink, Files))
        self._careful = replace(self._files, overwrite=may_replace)
        self._slots = threading.Semaphore(AHEAD)
        self._claimed: dict[str, tuple[Row, Figures]] = {}  # by stream
        self._lock_of_figures = threading.Lock()
        counts = manifest.counts()
        self._total = sum(count for count, _ in counts.values())
        self._bytes = counts.get(WAITING, (0, 0))[1]
        self._failed = counts.get(FAILED, (0, 0))[0]
        self._over = self._total - counts.get(WAITING, (0, 0))[0]
        self._frames = self._bytes_over = 0
        self._now: Progress | None = None
        self._begun = self._last = time.monotonic()
        remove_parts_of(self._files, manifest.left)

    def run(self) -> Iterator[Progress]:
        feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._begun = self._last = time.monotonic()
        feeder.start()
        try:
            yield from super().run()
        finally:
            self._runner.stop()
            feeder.join()
            for row, _ in self._claimed.values():
                self._manifest.release(row)

    def standing(self) -> Standing:
        """How far the job is. For any thread."""
        now, seconds = self._now, time.monotonic() - self._begun
        with self._lock_of_figures:
            frames, done = self._frames, float(self._bytes_over)
            claimed = self._claimed.get(now.stream) if now else None
        if now is not None and claimed is not None:
            frames += now.frames
            expected = now.about.frames if now.about else None
            done += claimed[0].bytes * min(1.0, now.frames / expected) if expected else 0
        eta = seconds * (self._bytes - done) / done if done else None
        return Standing(self._over, self._total, self._failed, frames, seconds, eta)

    @property
    def is_open(self) -> bool:
        """Whether all stages have begun."""
        return len(self._runner.about) == len(self._job.stages)

    def check(self) -> None:
        """Raises Stopped: the job begins nothing more."""
        if self._runner.control.halt.is_set() or self._runner.control.abort.is_set():
            raise Stopped

    # What the feeder does.

    def _feed(self) -> None:
        """In a thread of its own."""
        try:
            while self._has_turn():
                row = self._manifest.claim(self._refused)
                if row is None:
                    break
                self._begin(row)
        except Stopped:
            pass
        except BaseException as error:
            self._break(error)
        finally:
            self._runner.close()

    def _has_turn(self) -> bool:
        """Wait until one more file may be claimed. False: the run was stopped."""
        while not self._slots.acquire(timeout=LOOK):
            self.check()
        return not self._runner.control.halt.is_set()

    def _refused(self, row: Row) -> str:
        if self._model is not None and (self._model, self._configs.of(source_of(row))) != (row.model, row.config):
            raise ConfigError("model or settings have changed since the job began: start it again")
        why = why_refused(row, self._careful, self._manifest.folder)
        if why:
            with self._lock_of_figures:
                self._over, self._failed = self._over + 1, self._failed + 1
                self._bytes_over += row.bytes
        return why

    def _begin(self, row: Row) -> None:
        source = source_of(row)
        try:
            figures = Figures(stamp_of(inputs_of(source))[0], content_of(inputs_of(source), self.check))
        except OSError as error:
            why = f"{error.filename} cannot be read: {error.strerror}; check its name, owner and rights"
            self._finish(row, FAILED, Figures(), self._job.conceal(why), outputs=())
            return
        except Stopped:
            self._manifest.release(row)
            raise
        if row.content == figures.content:  # it was only touched
            self._finish(row, DONE, replace(figures, frames=row.frames, seconds=row.seconds, notes=row.notes))
            return
        assert figures.content is not None, "just hashed"
        twin = self._manifest.twin(row, figures.content) if self._once else None
        remove_outputs(self._manifest.folder, self._manifest.outputs(row))
        if twin is not None:
            self._finish(row, SAME, figures, twin, outputs=())
            return
        self._sources[source.stream] = source
        self._claimed[source.stream] = row, figures
        self._sum_up()
        try:
            self._runner.add(source)
        except ConfigError:  # the run was stopped meanwhile; `run` releases the row
            raise Stopped from None

    def _finish(
        self, row: Row, state: str, figures: Figures, why: str | None = None, outputs: Sequence[Output] | None = None
    ) -> None:
        """A row is over, and another one may be claimed."""
        self._manifest.finish(row, state, figures, why, outputs)
        with self._lock_of_figures:
            self._over += 1
            self._failed += state == FAILED
            self._bytes_over += row.bytes
            self._frames += figures.frames if outputs else 0
        self._slots.release()

    # What a lane's thread does.

    def _opening(self, source: Source | LiveSource, name: str) -> Opening:
        return replace(super()._opening(source, name), inputs=tuple(inputs_of(source)))

    def _tell(self, progress: Progress, outcome: Outcome | None) -> None:
        self._now = progress
        if outcome is not None:
            try:
                self._book(outcome)
            except BaseException as error:
                self._break(error)
        self._board.post(progress)

    def _book(self, outcome: Outcome) -> None:
        """A stream is over, and its files are on the disk, or as far as they go."""
        row, figures = self._claimed[outcome.stream]
        source = self._sources.pop(outcome.stream)
        if outcome.interrupted or outcome.error == LEFT:
            self._manifest.release(row)
        else:
            outputs = [self._output(path) for path in outcome.outputs]
            now = time.monotonic()
            seconds, self._last = now - self._last, now
            notes = "\n".join(map(self._job.conceal, outcome.notes)) or None
            figures = replace(figures, frames=outcome.frames, seconds=seconds, notes=notes)
            why = self._job.conceal(outcome.error) if outcome.error else None
            if why is None and not _is_same(figures, source):
                why = f"{name_of(source)}: {CHANGED}"
            self._finish(row, FAILED if why else DONE, figures, why, outputs)
        with self._lock_of_figures:
            del self._claimed[outcome.stream]

    def _output(self, path: Path) -> Output:
        """A file that was written. Its hash is that of what is on the disk."""
        return Output(Path(os.path.relpath(path, self._manifest.folder)), path.stat().st_size, sha256(path))

    def _break(self, error: BaseException) -> None:
        """The manifest cannot be written: without it, nothing more is done."""
        self._error = self._error or error
        self._runner.leave()

    # What the dispatcher does.

    def _work(self) -> None:
        super()._work()
        self._sum_up()

    def _sum_up(self) -> None:
        """Of streams that are over, one account is enough."""
        for stream in self._runner.ledger.accounts():
            if stream != ALL and stream not in self._claimed:
                self._runner.ledger.sum_up(stream, ALL)


def _is_same(figures: Figures, source: Source | LiveSource) -> bool:
    """Whether the input is still what was hashed."""
    try:
        return stamp_of(inputs_of(source))[0] == figures.stamp
    except OSError:
        return False
