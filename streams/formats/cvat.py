"""CVAT's XML 1.1: `cvat/STREAM.xml`, for a task of the same photos ("CVAT for images") or video ("CVAT for video").

<image id="0" name="a.jpg" width="640" height="272"><box label="car" xtl="1.00" …></box></image>
<track id="0" label="car"><box frame="17" outside="0" keyframe="1" xtl="1.00" …></box></track>

Each box is a key frame, and `score` its attribute. Of a photo, an object with pixels is a mask in place of a box. The
format: https://docs.cvat.ai/docs/other/xml_format.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from watchline.streams.errors import EventsRefused
from watchline.streams.events.frames import Found, FrameEvent
from watchline.streams.events.survey import Stream, Survey
from watchline.streams.formats.tracks import tracks_of
from watchline.text import printable

PLACE = "cvat"
_NONE = re.compile("[\ufffe\uffff]")  # what XML cannot have, even as a reference; `printable` knows the others


def write(survey: Survey, folder: Path) -> list[str]:
    """Write them into a folder. Raises OSError: it cannot be written; EventsRefused: all streams are of cameras."""
    files = {name: stream for name, stream in survey.streams.items() if not stream.is_live}
    if not files:
        raise EventsRefused(f"{next(iter(survey.streams))} is of a camera: expected photos or videos, which CVAT has")
    for name, stream in files.items():
        path = folder / PLACE / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
            file.write(_meta(name, stream, survey.labels))
            file.writelines(_images(survey, name) if stream.are_photos else _tracks(survey, name))
            file.write("</annotations>\n")
    live = (name for name, stream in survey.streams.items() if stream.is_live)
    return [f"{name} is of a camera, whose frames are in no file by their number: left out" for name in live]


def _meta(name: str, stream: Stream, labels: Sequence[str]) -> str:
    """What the task is like, and the labels that it needs."""
    score = (
        "<attribute><name>score</name><mutable>True</mutable><input_type>text</input_type><default_value></default_value>"
        "<values></values></attribute>"
    )
    kinds = "".join(
        f"<label><name>{escape(_text(label))}</name><type>any</type><attributes>{score}</attributes></label>\n"
        for label in labels
    )
    mode, size = ("annotation", stream.frames) if stream.are_photos else ("interpolation", stream.last + 1)
    width, height = stream.size
    original = (
        "" if stream.are_photos else f"<original_size><width>{width}</width><height>{height}</height></original_size>\n"
    )
    return (
        f"<meta><task><name>{escape(_text(name))}</name><size>{size}</size><mode>{mode}</mode>\n"
        f"<labels>\n{kinds}</labels>\n{original}</task></meta>\n"
    )


def _images(survey: Survey, stream: str) -> Iterator[str]:
    for number, frame in enumerate(survey.frames(stream)):
        about = {"id": number, "name": frame.file, "width": frame.width, "height": frame.height}
        yield f"<image{_attributes(about)}>\n"
        yield from _shapes(frame)
        yield "</image>\n"


def _shapes(frame: FrameEvent) -> Iterator[str]:
    masks = frame.masks()
    if masks is None:
        yield from (_shape("box", found, {"label": found.label, **_sides(found)}) for found in frame.found)
        return
    for found, (x1, y1, x2, y2, crop) in zip(frame.found, masks, strict=True):
        where = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
        yield _shape("mask", found, {"label": found.label, "rle": _runs(crop), **where})


def _tracks(survey: Survey, stream: str) -> Iterator[str]:
    number = count()
    for track in tracks_of(survey, stream):
        yield f"<track{_attributes({'id': next(number), 'label': track.label, 'source': 'auto'})}>\n"
        for box in track.boxes:
            for frame, outside in ((box.frame, 0), (box.gone, 1)):
                if frame is not None:
                    about = {"frame": frame, "outside": outside, "keyframe": 1}
                    yield _shape("box", box.found, {**about, **_sides(box.found)})
        yield "</track>\n"


def _shape(kind: str, found: Found, about: dict[str, Any]) -> str:
    score = f'<attribute name="score">{found.score}</attribute>'
    return f"<{kind}{_attributes({**about, 'source': 'auto', 'occluded': 0, 'z_order': 0})}>{score}</{kind}>\n"


def _sides(found: Found) -> dict[str, str]:
    return {name: f"{side:.2f}" for name, side in zip(("xtl", "ytl", "xbr", "ybr"), found.box, strict=True)}


def _runs(crop: NDArray[np.bool_]) -> str:
    """Lengths of the runs of a crop (H, W), row by row, of 0 and 1 in turn; the first is of 0."""
    pixels = np.concatenate([[False], crop.ravel(), [not crop.ravel()[-1]] if crop.size else []])
    ends = np.flatnonzero(pixels[1:] != pixels[:-1])
    return ", ".join(map(str, np.diff(ends, prepend=0).tolist()))


def _attributes(values: dict[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(_text(str(value)))}" for name, value in values.items())


def _text(text: str) -> str:
    return _NONE.sub("\ufffd", printable(text))
