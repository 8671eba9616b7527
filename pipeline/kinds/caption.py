"""Captions as a result: the captioner gives them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

SHOWN_FROM = 1.0  # seconds of age from which it is written on the picture


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about a picture, or about an object in it; it stands until there is a newer one.

    Attributes:
        text: what the picture shows.
        score: the logarithm of its probability; of two captions of as many words, the higher one is more certain.
        frame: the index of the frame that it was made from.
        seconds: that frame's time.
        age: seconds from that frame to this one, of a live stream; None for files, whose captions begin where they were
            made.
        box: xyxy in pixels, of the object that it tells about; None for the whole picture.
    """

    text: str
    score: float
    frame: int
    seconds: float
    age: float | None = None
    box: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        numbers = (self.score, self.seconds, self.age or 0.0, *(self.box or ()))
        if not isinstance(self.text, str) or not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"{self}: expected a text and finite numbers")
        if self.box is not None and len(self.box) != 4:
            raise ValueError(f"a caption's box has {len(self.box)} numbers: expected 4")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as the lines of events have them."""
        values: dict[str, Any] = {"text": self.text, "score": round(self.score, 3), "frame": self.frame}
        if self.age is not None:
            values["age"] = round(self.age, 3)
        if self.box is not None:
            values["box"] = [round(side, 2) for side in self.box]
        return values


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "What the picture shows, in words",
    "required": ["text", "score", "frame"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string"},
        "score": {"type": "number", "maximum": 0, "description": "The logarithm of its probability"},
        "frame": {"type": "integer", "minimum": 0, "description": "Number of the frame that it was made from"},
        "age": {"type": "number", "minimum": 0, "description": "Seconds since that frame, of a live stream"},
        "box": {
            "description": "x1, y1, x2, y2 in pixels of the object that it tells about; missing for the whole picture",
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
        },
    },
}


def _draw(canvas: "Canvas", caption: Caption) -> None:
    old = caption.age is not None and caption.age >= SHOWN_FROM
    canvas.caption(f"{caption.text} ({caption.age:.0f} s ago)" if old else caption.text)


CAPTION: Kind[Caption] = Kind("caption", Caption, as_json=Caption.to_dict, schema=SCHEMA, draw=_draw)
