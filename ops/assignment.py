"""Who belongs to whom: pairs of rows and columns, each in one pair, that are alike."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows (K,) in ascending order, and the column of each


@cache
def solver() -> Any:
    """SciPy's `linear_sum_assignment`. Loading it takes some tenths of a second: who tracks does it beforehand."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def matched(likeness: NDArray[np.floating], least: float) -> Pairs:
    """The pairs with the greatest total likeness, of those that are alike enough.

    Args:
        likeness: (N, M), 0 or more.
        least: of a pair, more than 0.

    Returns:
        pairs, possibly none.
    """
    allowed = likeness >= least
    # Most rows and columns have no one else, which needs no search.
    alone = allowed & (allowed.sum(axis=1, keepdims=True) == 1) & (allowed.sum(axis=0, keepdims=True) == 1)
    contested = allowed & ~alone
    rows, columns = np.nonzero(alone)
    if contested.any():
        some, others = np.flatnonzero(contested.any(axis=1)), np.flatnonzero(contested.any(axis=0))
        part = np.where(contested, likeness, 0)[np.ix_(some, others)]
        a, b = solver()(part, maximize=True)
        real = part[a, b] > 0
        rows, columns = np.concatenate([rows, some[a[real]]]), np.concatenate([columns, others[b[real]]])
        order = np.argsort(rows)
        rows, columns = rows[order], columns[order]
    return rows, columns
