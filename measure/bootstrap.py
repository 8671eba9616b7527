"""How sure a figure is: its interval if other pictures of the same kind had been taken.

The bootstrap (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979): pictures are drawn with replacement, as
many as there are, and the figure is computed again; 95 % of the samples lie in the interval. Two models are compared on
the same samples, so pictures that are hard for both do not hide a difference. Frames of one video are alike: their
intervals are too narrow.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from watchline.measure.scores import Scorer, Table

SAMPLES = 1000
SEED = 0
SHARE = 0.95  # of the samples that lie in an interval

Interval = tuple[float, float]
Intervals = Mapping[str, Mapping[str, Interval]]
"""By class and name, as a table has the figures; (NaN, NaN) where no sample has a figure."""


def weights(pictures: int, samples: int = SAMPLES, seed: int = SEED) -> NDArray[np.int64]:
    """How often each picture is drawn in each sample: (samples, pictures)."""
    return np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1 / pictures), samples)


def sampled(scorers: list[Scorer], drawn: NDArray[np.int64]) -> tuple[list[Intervals], list[Intervals]]:
    """The intervals of the figures of some models, and of their differences to the first one."""
    tables = [score(drawn) for score in scorers]
    differences = [_less(table, tables[0]) for table in tables]
    return [_intervals(table) for table in tables], [_intervals(table) for table in differences]


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
