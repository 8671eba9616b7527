"""YOLO's layout: `data.yaml`, and for each picture that goes to `images` a text in `labels` (streams/layouts/yolo.py).

A row is class, and of the box the centre and the sides in shares of the picture. It has no place for scores, tracks and
masks.
"""

import json
from pathlib import Path

from watchline.streams.errors import EventsRefused
from watchline.streams.events.frames import Found, FrameEvent
from watchline.streams.events.survey import Survey
from watchline.streams.layouts.yolo import IMAGES, LABELS
from watchline.text import printable

YAML = "yolo/data.yaml"
PLACE = f"yolo/{LABELS}"


def write(survey: Survey, folder: Path) -> list[str]:
    """Write it into a folder. Raises OSError: it cannot be written; EventsRefused."""
    numbers = {label: number for number, label in enumerate(survey.labels)}
    for frame in survey.frames():
        picture = survey.picture_of(frame)
        text = (folder / PLACE / picture).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        try:
            with text.open("x", encoding="ascii") as file:
                file.writelines(_row(found, frame, numbers) for found in frame.found)
        except FileExistsError:
            raise EventsRefused(
                f"{frame.events}: {picture} is the second picture with the labels {text.name}: YOLO knows pictures by "
                "their names without suffix; rename one"
            ) from None
    names = json.dumps([*map(printable, survey.labels)], ensure_ascii=False)
    said = f"path: .\ntrain: {IMAGES}\nval: {IMAGES}\nnames: {names}\n"
    (folder / YAML).write_text(f"# Pictures go to {IMAGES}/, under the names that {LABELS}/ has.\n{said}", "utf-8")
    return []


def _row(found: Found, frame: FrameEvent, numbers: dict[str, int]) -> str:
    """A line; none of a box that has no part in the picture."""
    x1, x2 = (min(max(side, 0.0), frame.width) / frame.width for side in found.box[::2])
    y1, y2 = (min(max(side, 0.0), frame.height) / frame.height for side in found.box[1::2])
    if x1 >= x2 or y1 >= y2:
        return ""
    return f"{numbers[found.label]} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n"
