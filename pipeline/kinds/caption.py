"""Captions as a result: the captioner gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

LONGEST = 1000  # letters
LARGEST = 1e12  # of any number in it
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
        if not isinstance(self.text, str) or len(self.text) > LONGEST:
            raise ValueError(f"a caption's text is {str(self.text)[:20]!r}: expected at most {LONGEST} letters")
        if not isinstance(self.frame, int) or not 0 <= self.frame < LARGEST:
            raise ValueError(f"a caption is of frame {self.frame!r}: expected a number from 0 on")
        limits = {"score": (-LARGEST, 0), "seconds": (-LARGEST, LARGEST), "age": (0, LARGEST)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not _is_within(value, least, most) and (name, value) != ("age", None):
                raise ValueError(f"a caption's {name} is {value!r}: expected a number in {least:g}..{most:g}")
        if self.box is not None and (
            len(self.box) != 4 or not all(_is_within(side, -LARGEST, LARGEST) for side in self.box)
        ):
            raise ValueError("a caption's box: expected four numbers")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as the lines of events have them."""
        values: dict[str, Any] = {"text": self.text, "score": round(self.score, 3), "frame": self.frame}
        if self.age is not None:
            values["age"] = round(self.age, 3)
        if self.box is not None:
            values["box"] = [round(side, 2) for side in self.box]
        return values


def _is_within(value: object, least: float, most: float) -> bool:
    """Whether a value is a number between two others; NaN is not."""
    return isinstance(value, int | float) and least <= value <= most


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


CAPTION: Kind[Caption] = Kind(
    "caption", Caption, as_json=Caption.to_dict, schema=SCHEMA, draw=_draw, subtitle=lambda caption: caption.text
)
