"""What a run writes down after each epoch: a row of `results.csv`, from which curves, best epoch and early stop follow.

The file is the only record. So a run that is resumed knows what was best, and a reader may open it in any spreadsheet.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from watchline.files import write_complete
from watchline.models.errors import CheckpointError

FILE = "results.csv"
EPOCH, STEP, MEAN, AP = "epoch", "step", "mAP", "AP "  # columns; AP is followed by the name of a class

Row = dict[str, float]
"""An epoch: epoch, step, losses (means over the epoch), seconds per step, mAP, and the AP of each class."""


def read(file: Path, before: int) -> list[Row]:
    """The rows of a run before the step `before`; none if there is no file. Raises CheckpointError: it is broken."""
    if not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(opened)]
        return [row for row in rows if row[STEP] < before and MEAN in row]
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise CheckpointError(
            f"{file} is broken ({error}): expected the rows of the run so far; move it away to go on without them"
        ) from error


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write all rows. Raises CheckpointError: the file cannot be written."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    try:
        write_complete(file, text.getvalue().encode())
    except OSError as error:
        raise CheckpointError(f"{file} cannot be written: {error.strerror}; make room, then resume") from error


def best(rows: Sequence[Row]) -> int | None:
    """The number of the row with the best mAP, the first of equals; None if nothing could be measured."""
    measured = [number for number, row in enumerate(rows) if not math.isnan(row[MEAN])]
    return max(measured, key=lambda number: rows[number][MEAN], default=None)


def is_stale(rows: Sequence[Row], patience: float) -> bool:
    """Whether the best row is more than `patience` epochs old; never with a patience of 0."""
    found = best(rows)
    return bool(patience) and found is not None and rows[-1][EPOCH] - rows[found][EPOCH] >= patience
