"""How sure a figure is: its interval if other pictures of the same kind had been taken.

The bootstrap (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979): pictures are drawn with replacement, as
many as there are, and the figure is computed again; 95 % of the samples lie in the interval. Two models are compared on
the same samples, so pictures that are hard for both do not hide a difference. Frames of a video are like their
neighbours, so they are drawn in blocks (Politis and Romano, "A Circular Block-Resampling Procedure", 1992), of as many
frames as there are blocks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.measure.scores import Scorer, Table

SAMPLES = 1000
SEED = 0
SHARE = 0.95  # of the samples that lie in an interval
MOST_WEIGHTS = 1 << 24  # that are held at once, 128 MiB

Interval = tuple[float, float]
Intervals = Mapping[str, Mapping[str, Interval]]
"""By class and name, as a table has the figures; (NaN, NaN) where no sample has a figure."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one model.

    Attributes:
        table: by class and name; the row MEAN is over all.
        intervals, differences: 95 % intervals of these figures, and of what they are more than those of the first
            model; None without a bootstrap.
    """

    table: Table
    intervals: Intervals | None = None
    differences: Intervals | None = None


def figures(
    scorers: Sequence[Scorer], pictures: int, samples: int = SAMPLES, seed: int = SEED, are_frames: bool = False
) -> list[Figures]:
    """Of each model; all are judged on the same pictures.

    Args:
        samples: 0 for no intervals.
        are_frames: the pictures are frames of a video, in order.
    """
    tables = [score() for score in scorers]
    if not samples or not scorers:
        return [Figures(table) for table in tables]
    parts = [
        [score(drawn) for score in scorers]
        for drawn in _drawn(pictures, samples, seed, math.isqrt(pictures) if are_frames else 1)
    ]
    sampled = [_joined(tables) for tables in zip(*parts, strict=True)]
    return [
        Figures(table, _intervals(one), _intervals(_less(one, sampled[0])))
        for table, one in zip(tables, sampled, strict=True)
    ]


def _drawn(pictures: int, samples: int, seed: int, block: int) -> Iterator[NDArray[np.int64]]:
    """The weights of all samples, in parts; the parts change nothing, as samples are drawn one after another."""
    rng, step = np.random.default_rng(seed), max(MOST_WEIGHTS // pictures, 1)
    for first in range(0, samples, step):
        yield weights(pictures, min(step, samples - first), rng, block)


def _joined(tables: Sequence[Table]) -> Table:
    """The figures of all samples, of tables of some each."""
    return {
        row: {name: np.concatenate([table[row][name] for table in tables]) for name in figures}
        for row, figures in tables[0].items()
    }


def weights(pictures: int, samples: int, seed: int | np.random.Generator, block: int = 1) -> NDArray[np.int64]:
    """How often each picture is drawn in each sample: (samples, pictures).

    Args:
        seed: or what draws, which goes on from where it is.
        block: so many pictures in a row are drawn together; the first one follows the last one.
    """
    rng = np.random.default_rng(seed)
    count = -(-pictures // block)
    begins = rng.multinomial(count, np.full(pictures, 1 / pictures), samples)  # how many blocks begin at each picture
    sums = np.cumsum(np.concatenate([begins[:, pictures - block :], begins], axis=1), axis=1)
    return np.asarray(sums[:, block:] - sums[:, :pictures], np.int64)


def _less(table: Table, first: Table) -> Table:
    return {row: {name: value - first[row][name] for name, value in figures.items()} for row, figures in table.items()}


def _intervals(table: Table) -> dict[str, dict[str, Interval]]:
    return {row: {name: _interval(value) for name, value in figures.items()} for row, figures in table.items()}


def _interval(values: NDArray[np.float64]) -> Interval:
    there = values[~np.isnan(values)]
    if not len(there):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)
