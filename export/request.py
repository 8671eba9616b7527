"""What a user asks of an export, whatever the checkpoint is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """Attributes:
    name: of the model, as events and reports call it.
    labels: class names in the order of the network's scores; None for what goes with the checkpoint.
    size: (width, height) of the input in pixels; None for the checkpoint's own.
    resize: how pictures become that size, one of RESIZES (engines/resizing.py); None for the network's own.
    """

    name: str
    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
