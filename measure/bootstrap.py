"""How sure a figure is: its interval if other pictures of the same kind had been taken.

The bootstrap (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979): pictures are drawn with replacement, as
many as there are, and the figure is computed again; 95 % of the samples lie in the interval. Two models are compared on
the same samples, so pictures that are hard for both do not hide a difference. Frames of a video are like their
neighbours, so they are drawn in blocks (Politis and Romano, "A Circular Block-Resampling Procedure", 1992), of as many
frames as there are blocks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.measure.scores import Scorer, Table

SAMPLES = 1000
SEED = 0
SHARE = 0.95  # of the samples that lie in an interval

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
    drawn = weights(pictures, samples, seed, math.isqrt(pictures) if are_frames else 1)
    sampled = [score(drawn) for score in scorers]
    return [
        Figures(table, _intervals(one), _intervals(_less(one, sampled[0])))
        for table, one in zip(tables, sampled, strict=True)
    ]


def weights(pictures: int, samples: int, seed: int, block: int = 1) -> NDArray[np.int64]:
    """How often each picture is drawn in each sample: (samples, pictures).

    Args:
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
