"""A detector on a user's own data, with any recipe: measures it each epoch, keeps the best, and stops early.

The folder of a run has `checkpoint.pt` to resume from, `best.pt` to export, `results.csv`, `curves.png`, and
`samples.jpg`, the truth and the predictions of the best epoch.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from watchline.files import write_complete
from watchline.models.errors import CheckpointError
from watchline.ops.letterbox import GREY
from watchline.train import checkpoint, curves, journal, samples
from watchline.train.journal import AP, EPOCH, MEAN, STEP, Row
from watchline.train.pictures import LabelledPicture
from watchline.train.validation import Detect, Measured, measure

CHECKPOINT, BEST, CURVES, SAMPLES = "checkpoint.pt", "best.pt", "curves.png", "samples.jpg"
MEASURED_SHARE = 0.3  # a measurement of so many pictures as this share of the training pictures is cheap in each epoch
SAVE_EVERY = 200  # steps between checkpoints, about, where epochs are longer

RESUMING = ("live", "optimizer")  # parts of a checkpoint that only the next step needs

Figures = dict[str, float]


@dataclass(frozen=True)
class Loop:
    """What a recipe brings.

    Attributes:
        steps: yields the figures of each step. Before those of every `every`-th step and of the last, it has written
            `newest`; when it is closed, it writes a checkpoint.
        newest: the file with the weights to measure.
        load: opens the network in such a file.
        every, last: steps between measurements, and the number of the last step.
        epoch: steps per epoch.
        size, pad: side of the input in pixels, BGR of its padding.
        device: where the network runs.
    """

    steps: Generator[Figures, None, None]
    newest: Path
    load: Callable[[Path], Detect]
    every: int
    last: int
    epoch: int
    size: int
    device: torch.device
    pad: tuple[int, int, int] = GREY


def periods(train: int, val: int, batch: int) -> tuple[int, int]:
    """Steps between measurements, and between checkpoints, of which the first is a multiple.

    Measurements are an epoch apart, or more if there are so many pictures to measure on that they would take long.
    """
    epochs = max(1, round(val / (MEASURED_SHARE * train)))
    steps = epochs * math.ceil(train / batch)
    parts = math.ceil(steps / SAVE_EVERY)
    return parts * math.ceil(steps / parts), math.ceil(steps / parts)


def fit(
    loop: Loop,
    val: Sequence[LabelledPicture],
    names: Sequence[str],
    out: Path,
    patience: float,
    say: Callable[[str], object],
) -> Iterator[Figures]:
    """Run the loop. Yields its figures.

    Args:
        val: pictures to measure on; without any, the last weights are the best.
        names: of the classes.
        out: folder of the run.
        patience: epochs without a better mAP after which the run ends; 0 for never.
        say: gets a line after each measurement.

    Raises:
        CheckpointError: a file of the run cannot be read or written. Also whatever the loop raises.
    """
    rows: list[Row] | None = None
    since: list[Figures] = []
    with closing(loop.steps) as steps:
        for figures in steps:
            step = int(figures[STEP])
            rows = journal.read(out / journal.FILE, step) if rows is None else rows
            since.append(figures)
            if step % loop.every and step != loop.last:
                yield figures
                continue
            measured = measure(loop.load(loop.newest), val, len(names), loop.size, loop.device, loop.pad)
            rows.append(_row(loop, since, measured, names))
            since = []
            _keep(rows, loop, val, names, measured, out)
            say(_line(rows, loop))
            yield figures
            if journal.is_stale(rows, patience):
                say(f"no better mAP in {patience:g} epochs: it ends here (--patience)")
                return


def _row(loop: Loop, since: Sequence[Figures], measured: Measured, names: Sequence[str]) -> Row:
    step = since[-1][STEP]
    means = {name: sum(f[name] for f in since) / len(since) for name in since[-1] if name not in (STEP, "size")}
    each = {AP + name: float(value) for name, value in zip(names, measured.per_class, strict=True)}
    return {EPOCH: step / loop.epoch, STEP: step, **means, MEAN: measured.mean, **each}


def _keep(
    rows: Sequence[Row],
    loop: Loop,
    val: Sequence[LabelledPicture],
    names: Sequence[str],
    measured: Measured,
    out: Path,
) -> None:
    """Write the files of an epoch; the best weights and their samples only if this epoch is the best so far."""
    other = (EPOCH, STEP, "seconds", "norm", MEAN)
    losses = [name for name in rows[0] if name not in other and not name.startswith(AP)]
    try:
        journal.write(out / journal.FILE, rows)
        write_complete(out / CURVES, cv2.imencode(".png", curves.draw(rows, losses))[1].tobytes())
        if journal.best(rows) in (None, len(rows) - 1):
            saved = checkpoint.read(loop.newest)
            checkpoint.write(out / BEST, {name: value for name, value in saved.items() if name not in RESUMING})
            if val:
                image = samples.sheet(val, measured.found, tuple(names))
                write_complete(out / SAMPLES, cv2.imencode(".jpg", image)[1].tobytes())
    except OSError as error:
        raise CheckpointError(f"{out}: a file cannot be written ({error.strerror}); make room, then resume") from error


def _line(rows: Sequence[Row], loop: Loop) -> str:
    """An epoch: its mAP, the best so far, and the AP of each class."""
    row, number = rows[-1], journal.best(rows)
    epoch = f"epoch {row[EPOCH]:.4g}/{loop.last / loop.epoch:.4g}"
    if number is None:
        return f"{epoch}  nothing to measure on"
    each = "  ".join(f"{name.removeprefix(AP)} {row[name]:.3f}" for name in row if name.startswith(AP))
    other = "the best so far" if rows[number] is row else f"best {rows[number][MEAN]:.3f}"
    return f"{epoch}  mAP {row[MEAN]:.3f} ({other})  {each}"


def outcome(out: Path) -> str:
    """What came out of a run, in words."""
    rows = journal.read(out / journal.FILE, 1 << 62)
    number = journal.best(rows)
    if number is None:
        return "not measured, as there is nothing to measure on"
    return f"mAP {rows[number][MEAN]:.3f} at IoU 0.5, epoch {rows[number][EPOCH]:.4g} of {rows[-1][EPOCH]:.4g}"
