"""What every engine does around its runtime: check what goes in, check what comes out, open and close."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchline.engines.contract import OUTPUTS
from watchline.engines.engine import Metadata
from watchline.engines.errors import EngineError, InferenceFailed, ModelRefused, RequestRefused

GREY = 114  # the value that letterboxing pads with
SLACK = 1e-3  # how far a score may lie outside 0..1 by rounding


class CheckedEngine(ABC):
    """An engine but for its runtime: a subclass loads in its constructor, and says how to run and to let go."""

    def __init__(
        self, where: str, metadata: Metadata, size: tuple[int, int], runtime: str, batch: int | None = None
    ) -> None:
        """Args: where, the file that errors name; batch, the only batch size that the model takes, None for any."""
        self.metadata = metadata
        self.size = size
        self.runtime = runtime
        self._where = where
        self._batch = batch
        self._closed = False
        self._proven = False

    @abstractmethod
    def _run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The task's outputs of a batch whose shape is right, in arrays that later runs leave alone."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what the runtime holds. Called once."""

    def infer(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """As the Engine protocol says."""
        self._check_batch(batch)
        try:
            outputs = self._run(batch)
        except EngineError:
            raise
        except Exception as error:  # the exceptions of the runtimes have no base in common but this one
            raise InferenceFailed(f"{self._where}: {self.runtime} failed: {first_line(error)}") from error
        if self.metadata.task == "segment":
            self._check_classes(batch.shape[:3], outputs["classes"])
        else:
            self._check_detections(len(batch), outputs["boxes"], outputs["scores"])
        return outputs

    @property
    def _names(self) -> tuple[str, ...]:
        """The outputs that the task has."""
        return OUTPUTS[self.metadata.task]

    def warm_up(self) -> None:
        """As the Engine protocol says."""
        width, height = self.size
        self.infer(np.full((self._batch or 1, height, width, 3), GREY, np.uint8))

    def close(self) -> None:
        """As the Engine protocol says."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_batch(self, batch: Any) -> None:
        if self._closed:
            raise RequestRefused(f"{self._where}: the engine is closed; load it again")
        width, height = self.size
        expected = f"({self._batch or 'B'}, {height}, {width}, 3) uint8 BGR"
        if not isinstance(batch, np.ndarray):
            raise RequestRefused(f"{self._where}: the batch is a {type(batch).__name__}; expected an array {expected}")
        count = self._batch or max(1, len(batch) if batch.ndim else 0)
        if batch.dtype != np.uint8 or batch.shape != (count, height, width, 3):
            raise RequestRefused(f"{self._where}: the batch is {batch.dtype} {batch.shape}; expected {expected}")

    def _check_classes(self, shape: tuple[int, ...], classes: NDArray[Any]) -> None:
        if classes.dtype != np.uint8 or classes.shape != shape:
            raise ModelRefused(
                f"{self._where}: `classes` came out as {classes.dtype} {classes.shape}; expected uint8 {shape}"
            )
        if not self._proven and classes.size and (most := int(classes.max())) >= len(self.metadata.labels):
            raise ModelRefused(
                f"{self._where}: `classes` goes up to {most}, but there are {len(self.metadata.labels)} labels"
            )
        self._proven = True

    def _check_detections(self, count: int, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        rows = boxes.shape[1] if boxes.ndim == 3 else 0
        expected = {"boxes": (count, rows, 4), "scores": (count, rows, len(self.metadata.labels))}
        for (name, shape), array in zip(expected.items(), (boxes, scores), strict=True):
            if array.dtype != np.float32 or array.shape != shape:
                want = f"({count}, {rows or 'N'}, {shape[2]})"
                raise ModelRefused(
                    f"{self._where}: `{name}` came out as {array.dtype} {array.shape}; expected float32 {want}, "
                    "the same N in both outputs and a score for each label"
                )
            if not np.isfinite(array).all():  # 11 us for 2808 boxes of 20 classes, where summing takes twice that
                raise InferenceFailed(
                    f"{self._where}: `{name}` holds NaN or infinity in {np.count_nonzero(~np.isfinite(array))} of "
                    f"{array.size} numbers; the model or its precision is at fault"
                )
        if not self._proven and scores.size:
            low, high = float(scores.min()), float(scores.max())
            if low < -SLACK or high > 1 + SLACK:
                raise ModelRefused(
                    f"{self._where}: `scores` lie in {low:.3g}..{high:.3g}; expected 0..1, "
                    "the sigmoid or softmax belongs inside the graph"
                )
            self._proven = True  # logits show on the first picture already; later ones need not pay for the look


def first_line(error: BaseException) -> str:
    """The first line of what a runtime has to say, for a message of one line; not where in its source it says so."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from ", "Check '"))] or lines
    return telling[0] if telling else type(error).__name__
