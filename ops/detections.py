"""What a detector found in one frame, whatever the detector."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Parallel arrays, one row a detection, best score first; checked once, when made.

    Attributes:
        boxes: (N, 4) float32 xyxy in source pixels, half-open.
        scores: (N,) float32 in 0..1.
        classes: (N,) int64, index into `labels`.
        labels: the detector's class names.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.classes.shape != (n,):
            raise ValueError(
                f"detections do not fit together: boxes {self.boxes.shape}, scores {self.scores.shape}, "
                f"classes {self.classes.shape}; expected (N, 4), (N,), (N,)"
            )
        if n and not (0 <= self.classes.min() and self.classes.max() < len(self.labels)):
            raise ValueError(f"a class is outside 0..{len(self.labels) - 1}, the detector's labels")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Any) -> "Detections":
        """The rows that a mask, a slice or an index array picks."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows], self.labels)

    @property
    def names(self) -> list[str]:
        """The label of each detection."""
        return [self.labels[c] for c in self.classes]

    @classmethod
    def none(cls, labels: tuple[str, ...]) -> "Detections":
        """No detections."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), labels)
