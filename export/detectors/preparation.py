"""What a network wants of a picture: order of the colours, range, mean and deviation, and how it becomes the size.

asked = parse("rgb,0..1,mean=0.485/0.456/0.406,std=0.229/0.224/0.225,stretch")
replace(Preparation("letterbox"), **asked).text()
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchline.engines.resizing import RESIZES

Colour = tuple[float, float, float]

RANGES = {"0..1": 1.0, "0..255": 255.0}
WORDS = {
    "letterbox": "letterbox top left",
    "letterbox-center": "letterbox in the middle",
    "letterbox-darknet": "letterbox in the middle, rounded down",
    "letterbox-floor": "letterbox top left",
    "stretch": "stretched",
}
SYNTAX = f"rgb|bgr, {'|'.join(RANGES)}, mean=R/G/B, std=R/G/B (in the order of the colours), {'|'.join(RESIZES)}"


@dataclass(frozen=True)
class Preparation:
    """Attributes:
    resize: the rule by which pictures come to the size of the input, one of RESIZES.
    rgb: red comes first.
    top: pixels are in 0..top, 1 or 255, before mean and std.
    mean, std: of the channels, in the network's order.
    """

    resize: str
    rgb: bool = True
    top: float = 1.0
    mean: Colour = (0.0, 0.0, 0.0)
    std: Colour = (1.0, 1.0, 1.0)

    def text(self, raw: bool = False) -> str:
        """In words, e.g. "BGR 0..255, letterbox top left".

        Args: raw, the network takes bytes and prepares them itself.
        """
        order, resize = "RGB" if self.rgb else "BGR", WORDS[self.resize]
        if raw:
            return f"{order} bytes, {resize}"
        words = [f"{order} 0..{self.top:g}"]
        if any(self.mean):
            words.append(f"mean {'/'.join(f'{v:g}' for v in self.mean)}")
        if any(v != 1 for v in self.std):
            words.append(f"std {'/'.join(f'{v:g}' for v in self.std)}")
        return ", ".join((*words, resize))


def parse(text: str) -> Mapping[str, Any]:
    """The fields of a Preparation that a user names, by words with commas between them, see SYNTAX.

    A range that is named without mean and std has none.

    Raises:
        ValueError: a word is unknown, twice there, or its numbers cannot be.
    """
    found: dict[str, Any] = {}
    for word in (word.strip().lower() for word in text.split(",")):
        key, _, value = word.partition("=")
        if word in ("rgb", "bgr"):
            field: dict[str, Any] = {"rgb": word == "rgb"}
        elif word in RANGES:
            field = {"top": RANGES[word]}
        elif word in RESIZES:
            field = {"resize": word}
        elif key in ("mean", "std"):
            field = {key: _colour(key, value)}
        else:
            raise ValueError(f"{word!r} is none of {SYNTAX}")
        if found.keys() & field.keys():
            raise ValueError(f"{word!r} says a second time what is said already; expected {SYNTAX}")
        found |= field
    if "top" in found:
        found = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)} | found
    return found


def _colour(key: str, text: str) -> Colour:
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or (key == "std" and min(numbers) <= 0):
        raise ValueError(f"{key}={text!r}; expected three numbers, e.g. {key}=0.5/0.5/0.5, those of std above 0")
    return numbers[0], numbers[1], numbers[2]
