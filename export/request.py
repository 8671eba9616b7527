"""What a user asks of an export, whatever the checkpoint is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """Attributes:
    name: of the model, as events and reports call it.
    labels: class names in the order of the network's scores; None for what goes with the checkpoint.
    size: (width, height) of the input in pixels; None for the checkpoint's own.
    resize: how pictures become that size, one of RESIZES (engines/resizing.py); None for the network's own.
    input: what an ONNX detector wants of a picture, as far as the user says, see export/detectors/preparation.py.
    epsilon: of the normalisation in a torchvision network; None for what is known of the file.
    """

    name: str
    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
    input: Mapping[str, Any] | None = None
    epsilon: float | None = None
