"""Precision-recall curves as SVG, in the colours of the page that shows them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE, LEFT, BOTTOM = 160, 26, 18  # of the square, and the room for numbers, in units of the drawing
MOST = 300  # corners of a curve
Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def curves(lines: Sequence[Line | None]) -> str:
    """A square of recall and precision with a curve of each model; line n has the class `m{n}`.

    Args:
        lines: recall and precision, (n,) each, recall rising; None for no curve.
    """
    ticks = "".join(
        f'<text x="{LEFT + SIDE * at}" y="{SIDE + 15}" text-anchor="middle">{at:g}</text>'
        f'<text x="{LEFT - 4}" y="{SIDE * (1 - at) + 7}" text-anchor="end">{at:g}</text>'
        f'<path class="grid" d="M{LEFT} {SIDE * (1 - at) + 4}h{SIDE}M{LEFT + SIDE * at} 4v{SIDE}"/>'
        for at in (0, 0.5, 1)
    )
    drawn = "".join(f'<path class="line m{n}" d="{_path(*one)}"/>' for n, one in enumerate(lines) if one is not None)
    return (
        f'<svg viewBox="0 0 {LEFT + SIDE + 10} {SIDE + BOTTOM + 2}" role="img" '
        f'aria-label="precision over recall">{ticks}{drawn}</svg>'
    )


def steps(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of a curve, (n, 2) in 0..1: each precision holds from the recall before to its own; then it falls."""
    if not len(recall):
        return np.zeros((0, 2))
    if len(recall) > MOST:
        some = np.linspace(0, len(recall) - 1, MOST).round().astype(int)
        recall, precision = recall[some], precision[some]
    x = np.concatenate([[0.0], np.repeat(recall, 2)])
    y = np.concatenate([np.repeat(precision, 2), [0.0]])
    return np.stack([x, y], axis=1)


def _path(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> str:
    corners = steps(recall, precision)
    return "M" + "L".join(f"{LEFT + SIDE * x:.1f} {4 + SIDE * (1 - y):.1f}" for x, y in corners) if len(corners) else ""
