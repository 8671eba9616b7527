"""One colour a class: a label has the same colour in every video, with every model, on every machine."""

import zlib

Colour = tuple[int, int, int]  # blue, green, red; 0..255

# VOC's classes and the truck, and COCO's spelling of them: what meets on a street is far apart in colour.
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
_SAME = {
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

    VOC's twenty classes and "truck" have a colour each; any other label gets one of these by a checksum of its letters.
    """
    known = _KNOWN.get(_SAME.get(label, label))
    code = known or _PALETTE[zlib.crc32(label.encode("utf-8", "surrogatepass")) % len(_PALETTE)]
    red, green, blue = bytes.fromhex(code)
    return blue, green, red


def ink(background: Colour) -> Colour:
    """Black or white, whichever can be read better on a background: by contrast of relative luminance (WCAG 2)."""
    blue, green, red = (_linear(channel) for channel in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    black, white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return (0, 0, 0) if black >= white else (255, 255, 255)


def _linear(channel: int) -> float:
    """sRGB 0..255 to light 0..1."""
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
