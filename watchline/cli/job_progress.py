"""How far a job of many files is: one line that is renewed on a terminal, a line now and then elsewhere. On stderr."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tqdm import tqdm

from watchline.cli.printed import raw
from watchline.cli.progress import LONGEST_NAME, ProgressDisplay
from watchline.cli.status import one_row
from watchline.pipeline.lanes import Progress

if TYPE_CHECKING:
    from watchline.pipeline.batch import Standing

BAR = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} files{postfix}"
PAUSE = 30.0  # seconds between lines: a night has a thousand of them
RENEWED = 0.2  # seconds between renewals of the line on a terminal


def display(standing: "Callable[[], Standing]", plain: bool) -> ProgressDisplay:
    """A bar if stderr is a terminal that has room for it and nothing else is written there."""
    if plain or not sys.stderr.isatty() or os.get_terminal_size(sys.stderr.fileno()).columns == 0:
        return JobLines(standing)
    return JobBar(standing)


class JobBar:
    """A tqdm bar of the files."""

    def __init__(self, standing: "Callable[[], Standing]") -> None:
        self._standing = standing
        self._bar = tqdm(
            bar_format=BAR, file=raw(sys.stderr), dynamic_ncols=True, miniters=0, mininterval=RENEWED, total=0
        )

    def show(self, progress: Progress) -> None:
        now = self._standing()
        self._bar.total = now.total
        name = one_row(progress.stream)
        shown = name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
        self._bar.set_postfix_str(f"{figures_of(now)}, {shown}", refresh=False)
        self._bar.update(now.files - self._bar.n)

    def close(self) -> None:
        now = self._standing()
        self._bar.total = now.total
        self._bar.set_postfix_str(figures_of(now), refresh=False)
        self._bar.update(now.files - self._bar.n)
        self._bar.refresh()
        self._bar.close()


class JobLines:
    """A line when the job begins, each half a minute, and when it ends."""

    def __init__(self, standing: "Callable[[], Standing]") -> None:
        self._standing = standing
        self._last = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if not self._last or now - self._last >= PAUSE:
            self._last = now
            self._say(f", {one_row(progress.stream)}")

    def close(self) -> None:
        self._say()

    def _say(self, more: str = "") -> None:
        now = self._standing()
        print(f"{now.files}/{now.total} files, {figures_of(now)}{more}", file=sys.stderr, flush=True)


def figures_of(now: "Standing") -> str:
    """What is said of a job: `2 failed, 1234 frames, 45.1 FPS, ETA 1:02:03`."""
    failed = f"{now.failed} failed, " if now.failed else ""
    eta = "" if now.eta is None or now.files == now.total else f", ETA {clock(now.eta)}"
    return f"{failed}{now.frames} frames, {now.frames / max(now.seconds, 1e-3):.1f} FPS{eta}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
