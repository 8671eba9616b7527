"""Answers as a result: the asker gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

LONGEST = 1000  # letters of a question, and of an answer
LARGEST = 1e12  # of any number in it
SHOWN_FROM = 1.0  # seconds of age from which it is written on the picture


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question about a picture; it stands until there is a newer one.

    Attributes:
        question: what was asked.
        text: the answer.
        score: its probability, 0 to 1; of given choices, among them.
        frame: the index of the frame that was looked at.
        age: seconds from that frame to this one, of a live stream; None for files.
    """

    question: str
    text: str
    score: float
    frame: int
    age: float | None = None

    def __post_init__(self) -> None:
        for name in ("question", "text"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > LONGEST:
                raise ValueError(f"an answer's {name} is {str(value)[:20]!r}: expected at most {LONGEST} letters")
        if not isinstance(self.frame, int) or not 0 <= self.frame < LARGEST:
            raise ValueError(f"an answer is of frame {self.frame!r}: expected a number from 0 on")
        for name, most in (("score", 1), ("age", LARGEST)):
            value = getattr(self, name)
            if (name, value) != ("age", None) and not (isinstance(value, int | float) and 0 <= value <= most):
                raise ValueError(f"an answer's {name} is {value!r}: expected a number in 0..{most:g}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as the lines of events have them."""
        values = {"question": self.question, "text": self.text, "score": round(self.score, 3), "frame": self.frame}
        return values if self.age is None else {**values, "age": round(self.age, 3)}


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The answer to a question about the picture",
    "required": ["question", "text", "score", "frame"],
    "additionalProperties": False,
    "properties": {
        "question": {"type": "string"},
        "text": {"type": "string", "description": "The answer"},
        "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Its probability"},
        "frame": {"type": "integer", "minimum": 0, "description": "Number of the frame that was looked at"},
        "age": {"type": "number", "minimum": 0, "description": "Seconds since that frame, of a live stream"},
    },
}


def _draw(canvas: "Canvas", answer: Answer) -> None:
    old = answer.age is not None and answer.age >= SHOWN_FROM
    canvas.text((0, 0), answer.question, end=f" {answer.text}" + (f" ({answer.age:.0f} s ago)" if old else ""))


ANSWER: Kind[Answer] = Kind("answer", Answer, as_json=Answer.to_dict, schema=SCHEMA, draw=_draw)
