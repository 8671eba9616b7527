"""What an engine is: a model file, loaded, that turns a batch of pictures into named arrays.

Every model has an input `images` (B, H, W, 3) uint8 BGR, already resized to the network's size. What else it takes and
what it gives is its task's (tasks.py): "detect" gives `boxes` (B, N, 4) float32 xyxy in pixels of that input and
`scores` (B, N, C) float32 in 0..1; "regions" gives the same, and takes `proposals` (B, K, 4) beside the pictures;
"segment" gives `classes` (B, H, W) uint8, the label's number for each pixel of that input. Colour order, mean, scale,
layout and the decoding of the grid are inside the graph, so they cannot drift between runtimes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray

from watchline.engines.resizing import PAD

Batch = NDArray[np.uint8] | Mapping[str, NDArray[Any]]
"""Pictures (B, height, width, 3) uint8 BGR; or, of tasks that take more, all inputs by name."""

Candidates = Literal["suppress", "merge"]
CANDIDATES: tuple[str, ...] = get_args(Candidates)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a model file says of itself.

    Attributes:
        name: of the model, e.g. "yolov2-lite0".
        task: a key of TASKS (tasks.py), e.g. "detect".
        labels: class names in the order of the scores, or of the numbers in `classes` or `words`.
        imgsz: input in pixels that the figures were measured at: the side of a square, or (width, height), multiples
            of `stride`.
        stride: input sides are multiples of it.
        resize: one of RESIZES (resizing.py).
        checkpoint: sha256 of the checkpoint it was exported from.
        figures: measured figures by name, e.g. {"PETS09-S2L1 person AP": 0.65}.
        pad: BGR of the letterbox's padding.
        candidates: what becomes of several boxes of one object: all but the best are suppressed, or they are merged.
        words: of the task "answer", the words of questions by number; the first stands for the end.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    imgsz: int | tuple[int, int]
    stride: int
    resize: str
    checkpoint: str
    figures: dict[str, float]
    pad: tuple[int, int, int] = PAD
    candidates: Candidates = "suppress"
    words: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) that `imgsz` means."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz


class Engine(Protocol):
    """A loaded model. One thread uses it at a time.

    Attributes:
        metadata: of the model file.
        size: (width, height) of the input that this engine was loaded for.
        runtime: e.g. "onnxruntime 1.23.0 CPUExecutionProvider": what really runs.
        rows: shape of one row of each input, by name.
    """

    @property
    def metadata(self) -> Metadata: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def runtime(self) -> str: ...

    @property
    def rows(self) -> Mapping[str, tuple[int, ...]]: ...

    def infer(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The task's outputs by name, as the contract says.

        Raises:
            RequestRefused: the batch has another dtype or shape than the engine was loaded for.
            InferenceFailed: the runtime failed, or gave NaN or infinity.
            ModelRefused: the outputs have other shapes than the contract says, or numbers that are not valid.
        """
        ...

    def warm_up(self) -> None:
        """Run once on a grey picture, so that the first real frame does not wait for lazy set-up.

        Raises: what `infer` raises; so outputs that break the contract show here and not in the first video.
        """
        ...

    def fork(self) -> "Engine":
        """A second engine of the same model for another worker, which may infer at the same time.

        The two share what the runtime can share, such as the parsed model and its weights. Each is closed on its own,
        in any order. `fork` may be called while the engine infers.

        Raises:
            RequestRefused: the engine is closed.
            ModelRefused, InferenceFailed: the runtime has to load the model again, and fails as `load` does.
        """
        ...

    def close(self) -> None:
        """Give memory and devices back. The engine is not used afterwards; closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes."""
        ...
