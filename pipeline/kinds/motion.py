"""Motion as a result: whether a fixed camera's frame is worth a look."""

from dataclasses import dataclass

from watchline.pipeline.kinds.kind import Kind


@dataclass(frozen=True, slots=True)
class Movement:
    """Whether a frame is worth a look.

    Attributes:
        number: of the frame in a row of such frames, from 0 on; None of one that is not.
    """

    number: int | None

    def __post_init__(self) -> None:
        if self.number is not None and not (isinstance(self.number, int) and self.number >= 0):
            raise ValueError(f"movement: the number is {self.number}: expected a whole one from 0 on, or None")


MOTION: Kind[Movement] = Kind("motion", Movement)
