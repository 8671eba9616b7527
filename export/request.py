"""What a user asks of an export, whatever the checkpoint is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchline.engines.contract import MAX_SIDE
from watchline.export.errors import ExportRefused


@dataclass(frozen=True)
class Request:
    """Attributes:
    name: of the model, as events and reports call it.
    labels: class names in the order of the network's scores; None for what goes with the checkpoint.
    size: (width, height) of the input in pixels; None for the checkpoint's own.
    resize: how pictures become that size, one of RESIZES (engines/resizing.py); None for the network's own.
    input: what an ONNX detector wants of a picture, as far as the user says, see export/detectors/preparation.py.
    epsilon: of the normalisation in a torchvision network; None for what is known of the file.
    scales: of the picture, at which Mask R-CNN looks at it; None for its own size alone.
    """

    name: str
    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
    input: Mapping[str, Any] | None = None
    epsilon: float | None = None
    scales: tuple[float, ...] | None = None

    def size_of(self, where: object, own: tuple[int, int], multiple: int) -> tuple[int, int]:
        """(width, height) of a fixed input: the one that is asked for, or the checkpoint's own.

        Raises:
            ExportRefused: a side is no multiple of `multiple`, or too large; `where` is what it names.
        """
        width, height = size = self.size or own
        if any(side % multiple or not 0 < side <= MAX_SIDE for side in size):
            raise ExportRefused(
                f"{where}: asked for {width} x {height}; expected multiples of {multiple} up to {MAX_SIDE} pixels"
            )
        return size
