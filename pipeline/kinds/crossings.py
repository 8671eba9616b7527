"""Crossings as a result: how many have crossed each line so far. The stage of lines gives them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

MOST = 10_000  # lines of a stream that another process may send
FARTHEST = 1e6  # pixels of a coordinate
ARROW = 8  # times as long as lines are wide


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """The L lines of a stream.

    Attributes:
        names: of the lines.
        ends: (L, 4) float32, x and y in pixels of where each begins and ends.
        counts: (L, 2) int64, how many tracks have gone in and out since the stream or epoch began.
    """

    names: tuple[str, ...]
    ends: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        many = len(self.names)
        kinds = (self.ends, np.float32, 4), (self.counts, np.int64, 2)
        for array, kind, columns in kinds:
            is_fit = isinstance(array, np.ndarray) and array.dtype == kind and array.shape == (many, columns)
            if not is_fit or many > MOST:
                raise ValueError("crossings: expected ends in float32 and counts in int64 of each line")
        if not (np.abs(self.ends) < FARTHEST).all() or (self.counts < 0).any():
            raise ValueError("crossings: expected ends in pixels, and counts from 0 on")


def _as_json(crossings: Crossings) -> Any:
    return {
        name: {"in": entered, "out": left}
        for name, (entered, left) in zip(crossings.names, crossings.counts.tolist(), strict=True)
    }


def _draw(canvas: "Canvas", crossings: Crossings) -> None:
    """Each with an arrow to the side that is in."""
    for name, ends, (entered, left) in zip(crossings.names, crossings.ends, crossings.counts.tolist(), strict=True):
        colour, (a, b) = canvas.colour_of(name), ends.reshape(2, 2)
        canvas.line(a, b, colour)
        way = (b - a) / np.hypot(*(b - a))
        right, middle, long = np.array((-way[1], way[0])), (a + b) / 2, ARROW * canvas.line_width
        tip = middle + right * long
        canvas.line(middle, tip, colour)
        for side in (-1, 1):
            canvas.line(tip, tip + (side * way - right) * long / 3, colour)
        canvas.text(a, f"{name} in {entered} out {left}", colour)


_COUNT = {"type": "integer", "minimum": 0}

CROSSINGS: Kind[Crossings] = Kind(
    "lines",
    Crossings,
    as_json=_as_json,
    schema={
        "type": "object",
        "description": "How many tracks have crossed each line since the stream or epoch began, by its name",
        "additionalProperties": {
            "type": "object",
            "required": ["in", "out"],
            "additionalProperties": False,
            "properties": {"in": _COUNT, "out": _COUNT},
        },
    },
    draw=_draw,
)
