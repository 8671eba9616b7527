"""How far a job is: one bar a file on a terminal, plain lines elsewhere. Both on stderr."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from watchline.cli.interrupt import first_stops
from watchline.cli.printed import raw
from watchline.cli.status import one_row
from watchline.pipeline.lanes import Progress

if TYPE_CHECKING:
    from watchline.pipeline.lanes import Outcome
    from watchline.pipeline.report import Report

BAR = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} frames{postfix}, ETA {remaining}"
UNKNOWN = "{desc} {n_fmt} frames{postfix}"
STOPPED = "{desc} {percentage:3.0f}% |{bar}| stopped after {n_fmt} frames"
LONGEST_NAME = 24  # letters of a stream's name before its bar
SHARE = 0.1  # of a file after which a line is written
PAUSE, LONGEST_PAUSE = 1.0, 5.0  # seconds between lines: no less, and no more


class ProgressDisplay(Protocol):
    """Shows the progress of streams that run one after another."""

    def show(self, progress: Progress) -> None:
        """A frame was written, or a stream has ended."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


def display(plain: bool) -> ProgressDisplay:
    """Bars if stderr is a terminal that has room for them and nothing else is written there."""
    if plain or not sys.stderr.isatty() or os.get_terminal_size(sys.stderr.fileno()).columns == 0:
        return ProgressLines()
    return Bars()


class Work(Protocol):
    """A job at work; pipeline/annotate.py says what its parts are."""

    report: "Report"

    @property
    def outcomes(self) -> "Sequence[Outcome]": ...

    def stop(self) -> None: ...

    def run(self) -> Iterator[Progress]: ...


def work(job: Work, shown: ProgressDisplay) -> bool:
    """Do a job, and show how far it is. Returns whether it was stopped by a signal."""
    try:
        with first_stops(job.stop) as signals:
            for progress in job.run():
                shown.show(progress)
    finally:
        shown.close()
    return bool(signals)


class Bars:
    """A tqdm bar a stream; those of finished streams stay."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._started = 0.0

    def show(self, progress: Progress) -> None:
        if _never_began(progress):
            return
        if self._bar is None:
            name = one_row(progress.stream)
            name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
            total = _expected(progress)
            self._bar = tqdm(desc=name, total=total, bar_format=BAR, file=raw(sys.stderr), dynamic_ncols=True)
            self._started = time.monotonic()
        elapsed = max(time.monotonic() - self._started, 1e-3)
        self._bar.set_postfix_str(f"{progress.frames / elapsed:.1f} FPS", refresh=False)
        self._bar.total = _expected(progress)
        if self._bar.total is None:
            self._bar.bar_format = UNKNOWN
        self._bar.update(progress.frames - self._bar.n)
        if progress.ended:
            if progress.error is None and progress.interrupted:
                self._bar.bar_format = STOPPED
            elif progress.error is None:
                self._bar.total, self._bar.bar_format = progress.frames, BAR  # containers only guess
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


class ProgressLines:
    """A line when a stream begins, each 10 % or 5 seconds, and when it ends."""

    def __init__(self) -> None:
        self._stream: str | None = None
        self._started = self._last = 0.0
        self._frames = 0  # at the last line

    def show(self, progress: Progress) -> None:
        if _never_began(progress):
            return
        now = time.monotonic()
        total = _expected(progress)
        if progress.stream != self._stream:
            self._stream, self._started, self._last, self._frames = progress.stream, now, now, 0
            self._say(_opening(progress))
        elapsed = max(now - self._started, 1e-3)
        if progress.ended:
            self._say(_ending(progress, elapsed))
            self._stream = None
            return
        pause = now - self._last
        far = total is not None and progress.frames - self._frames >= SHARE * total
        if pause >= LONGEST_PAUSE or (far and pause >= PAUSE):
            fps = progress.frames / elapsed
            eta = f", ETA {(total - progress.frames) / fps:.0f} s" if total else ""
            self._say(f"{progress.frames}/{total or '?'} frames, {fps:.1f} FPS{eta}")
            self._last, self._frames = now, progress.frames

    def close(self) -> None:
        self._stream = None

    def _say(self, text: str) -> None:
        print(f"{self._stream}: {text}", file=sys.stderr, flush=True)


def _expected(progress: Progress) -> int | None:
    """Frames in all, by the container; None if it does not say, or if it is wrong, as there are more already."""
    total = progress.about.frames if progress.about else None
    return total if total and total >= progress.frames else None


def _opening(progress: Progress) -> str:
    about = progress.about
    if about is None:
        return "starting"
    frames = f"{about.frames} frames of " if about.frames else ""
    codec = f", {about.codec}" if about.codec else ""
    return f"{frames}{about.width} x {about.height}{codec}"


def _ending(progress: Progress, elapsed: float) -> str:
    if progress.error is not None:
        return f"failed after {progress.frames} frames"
    if progress.interrupted:
        return f"stopped after {progress.frames} frames"
    return f"done: {progress.frames} frames in {elapsed:.1f} s, {progress.frames / elapsed:.1f} FPS"


def _never_began(progress: Progress) -> bool:
    """Whether the run was stopped before this stream's turn."""
    return progress.interrupted and progress.about is None
