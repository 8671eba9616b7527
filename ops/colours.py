"""One colour per class: a label has the same colour in every video, with every model, on every machine."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from operator import index

from watchline.ops.errors import DrawingError

Colour = tuple[int, int, int]  # blue, green, red; 0..255
Colours = Colour | Mapping[str, Colour] | None  # one for all classes, or by class; None: that of `colour`

# VOC's classes and the truck. Classes that are seen together in a street have colours that differ strongly.
_KNOWN = {
    "person": "ff4d6d",
    "bicycle": "2fd65b",
    "car": "2b9dff",
    "motorbike": "ff9a1f",
    "bus": "ffe03d",
    "truck": "b5b800",
    "train": "b45cff",
    "aeroplane": "7fe3ff",
    "boat": "00c2a8",
    "bird": "b8f06a",
    "cat": "ff8fd0",
    "dog": "c98a4b",
    "horse": "8f7bff",
    "sheep": "f2efe4",
    "cow": "a05a4a",
    "chair": "93a4bd",
    "sofa": "3f5bd9",
    "diningtable": "e6b98a",
    "pottedplant": "14894e",
    "bottle": "0f8f9e",
    "tvmonitor": "d61f9c",
}
_AREAS = {  # of class maps: muted, so that objects stand out
    "sky": "8fc1e8",
    "building": "8c6f8c",
    "pole": "c9b37e",
    "road": "6b6f7a",
    "pavement": "c58fb5",
    "tree": "4f8f4a",
    "sign": "e0c341",
    "fence": "b07a5a",
    "bicyclist": "2fd65b",
    "pedestrian": "ff4d6d",
}
_SAME = {  # COCO's spelling -> VOC's
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "dining table": "diningtable",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
_PALETTE = tuple(_KNOWN.values())


def colour(label: str) -> Colour:
    """The colour of a class, (blue, green, red).

    VOC's twenty classes, "truck" and the areas of a street have a colour each. A checksum of any other label chooses
    one of VOC's.
    """
    known = _KNOWN.get(_SAME.get(label, label)) or _AREAS.get(label)
    code = known or _PALETTE[zlib.crc32(label.encode("utf-8", "surrogatepass")) % len(_PALETTE)]
    red, green, blue = bytes.fromhex(code)
    return blue, green, red


def track_colour(number: int) -> Colour:
    """The colour of a track, (blue, green, red): tracks whose numbers follow one another have different ones."""
    red, green, blue = bytes.fromhex(_PALETTE[number % len(_PALETTE)])
    return blue, green, red


def as_colour(value: Colour) -> Colour:
    """The colour as three integers.

    Raises:
        DrawingError: the value is not a colour.
    """
    try:
        blue, green, red = map(index, value)
    except (TypeError, ValueError):
        blue = green = red = -1
    if not all(0 <= channel <= 255 for channel in (blue, green, red)):
        raise DrawingError(f"{value!r} is not a colour: expected (blue, green, red), whole numbers in 0..255")
    return blue, green, red


def parse(texts: Sequence[str]) -> Colours:
    """Colours from `person=#ff4d6d` for a class, or `#ff4d6d` for all; None from nothing.

    Raises:
        DrawingError: a text is neither, or some are of classes and others of all.
    """
    given: dict[str, Colour] = {}
    for text in texts:
        label, _, code = text.rpartition("=")
        if not re.fullmatch("#[0-9a-fA-F]{6}", code) or (not label and len(texts) > 1):
            raise DrawingError(
                f"{text!r} is not a colour: expected CLASS=#rrggbb for each class, or one #rrggbb for all"
            )
        red, green, blue = bytes.fromhex(code[1:])
        given[label] = blue, green, red
    return given.get("", given or None)


def chooser(colours: Colours) -> Callable[[str], Colour]:
    """The function from a class to its colour.

    Args:
        colours: one for all classes, or by class; None, and classes that are not named: that of `colour`.

    Raises:
        DrawingError: a value is not a colour.
    """
    if colours is None:
        return colour
    if isinstance(colours, Mapping):
        given = {label: as_colour(value) for label, value in colours.items()}
        return lambda label: given[label] if label in given else colour(label)
    one = as_colour(colours)
    return lambda label: one


def ink(background: Colour) -> Colour:
    """Black or white, whichever is easier to read on a background: by contrast of relative luminance (WCAG 2)."""
    blue, green, red = (_linear(channel) for channel in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    black, white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return (0, 0, 0) if black >= white else (255, 255, 255)


def _linear(channel: int) -> float:
    """sRGB 0..255 to linear light 0..1."""
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
