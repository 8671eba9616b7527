"""Figures of speed against those of an earlier run: what has become slower than a margin allows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from watchline.measure.errors import ComparisonRefused

SAME = ("source", "frame_width", "frame_height", "streams", "rate", "video", "stages")  # of a run
OF_MODEL = ("model", "file", "runtime", "width", "height", "batch")
OF_MACHINE = ("cpu", "cores")  # may differ, which is said
LARGEST = 16 << 20  # bytes


def read(path: Path) -> dict[str, Any]:
    """The figures that `watchline bench fps --json` wrote. Raises ComparisonRefused: it is no such file."""
    expected = "expected a file that `watchline bench fps --json FILE` wrote"
    try:
        if path.stat().st_size > LARGEST:
            raise ComparisonRefused(f"{path}: it has more than {LARGEST >> 20} MiB; {expected}")
        found = json.loads(path.read_bytes())
        rates = [row["fps"] for row in found["models"]]
    except OSError as error:
        raise ComparisonRefused(f"{path}: it cannot be read ({error.strerror}); {expected}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ComparisonRefused(f"{path}: these are not figures of speed; {expected}") from error
    if not rates or not all(isinstance(rate, int | float) and rate > 0 for rate in rates):
        raise ComparisonRefused(f"{path}: it has no frames per second; {expected}")
    return dict(found)


def check(now: Mapping[str, Any], files: Sequence[str], before: Mapping[str, Any]) -> None:
    """Refuse a baseline before anything is measured.

    Args:
        now: figures as `read` gives them, without `models`. files: names of the files of the models.

    Raises:
        ComparisonRefused: the runs are of different things, or have no file of a model in common.
    """
    wrong = [f"{key} is {now.get(key)!r}, was {before.get(key)!r}" for key in SAME if now.get(key) != before.get(key)]
    if wrong:
        raise ComparisonRefused(
            f"the baseline is of another run: {'; '.join(wrong)}; measure the same, or make it anew"
        )
    there = [str(row.get("file")) for row in before["models"]]
    if not set(files) & set(there):
        raise ComparisonRefused(
            f"the baseline has {', '.join(there)}: expected one of {', '.join(files)}; make it anew"
        )


def unlike(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """A line for each thing that may explain a difference: another machine, or other numbers of engines."""
    old = {_key(row): row.get("workers") for row in before["models"]}
    pairs = [(key, now.get(key), before.get(key)) for key in OF_MACHINE]
    pairs += [
        (f"workers of {row['model']}", row.get("workers"), old[_key(row)]) for row in now["models"] if _key(row) in old
    ]
    return [f"unlike the baseline: {what} is {one!r}, was {other!r}" for what, one, other in pairs if one != other]


def slower(now: Mapping[str, Any], before: Mapping[str, Any], margin: float) -> tuple[list[str], list[str]]:
    """Two lists of lines: every model against the earlier run, and those that are slower than the margin allows.

    Args:
        now, before: figures as `read` gives them, which `check` has let pass.
        margin: share of the frames per second that may be lost, 0..1.

    Raises:
        ComparisonRefused: they have no model in common.
    """
    old = {_key(row): row["fps"] for row in before["models"]}
    pairs = [(row, old[_key(row)]) for row in now["models"] if _key(row) in old]
    if not pairs:
        raise ComparisonRefused(
            f"the baseline has {_listed(before['models'])}: expected one of {_listed(now['models'])}; make it anew"
        )
    lines = [
        (f"{row['model']}: {row['fps']:.1f} FPS, {row['fps'] / fps:.2f} of the baseline's {fps:.1f}", row, fps)
        for row, fps in pairs
    ]
    return [line for line, _, _ in lines], [line for line, row, fps in lines if row["fps"] < (1 - margin) * fps]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in OF_MODEL)


def _listed(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join("{} at {}x{} by {}".format(*map(row.get, ("model", "width", "height", "runtime"))) for row in rows)
