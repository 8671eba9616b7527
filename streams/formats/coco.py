"""COCO's list of instances, `annotations/instances_default.json`, for photos in `images`.

Categories are numbered from 1 in the order of the model's labels, so all files of one model have the same. Annotations
have `score` and, where there are, `track_id` and masks as run lengths (`segmentation`), which COCO's readers take.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from watchline.streams.events.frames import Found, FrameEvent
from watchline.streams.events.survey import Survey
from watchline.streams.formats.json_list import write_list
from watchline.text import json_text
from watchline.version import VERSION

FILE = "instances_default.json"
PLACE = "coco/annotations"


def write(survey: Survey, folder: Path) -> list[str]:
    """Write it into a folder. Raises OSError: it cannot be written; EventsRefused."""
    place = folder / PLACE
    place.mkdir(parents=True)
    numbers = {label: number for number, label in enumerate(survey.labels, 1)}
    categories = [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()]
    info = {"description": "Detections", "version": VERSION}
    with (place / FILE).open("w", encoding="ascii") as file:
        file.write(f'{{"info": {json_text(info)}, "licenses": [], "categories": {json_text(categories)}')
        for key, entries in (("images", _images(survey)), ("annotations", _annotations(survey, numbers))):
            file.write(f',\n"{key}": ')
            write_list(file, entries)
        file.write("}\n")
    return []


def _images(survey: Survey) -> Iterator[dict[str, Any]]:
    for number, frame in enumerate(survey.frames(), 1):
        name = survey.picture_of(frame).as_posix()
        yield {"id": number, "file_name": name, "width": frame.width, "height": frame.height}


def _annotations(survey: Survey, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = count(1)
    for image, frame in enumerate(survey.frames(), 1):
        areas = _areas(frame)
        for found, area in zip(frame.found, areas, strict=True):
            x1, y1, x2, y2 = found.box
            yield {
                "id": next(number),
                "image_id": image,
                "category_id": numbers[found.label],
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": area,
                "iscrowd": 0,
                "score": found.score,
                **_more(found),
            }


def _more(found: Found) -> dict[str, Any]:
    track = {} if found.track is None else {"track_id": found.track}
    return track if found.segmentation is None else {**track, "segmentation": dict(found.segmentation)}


def _areas(frame: FrameEvent) -> list[float]:
    """In pixels: of the masks, or else of the boxes."""
    masks = frame.masks()
    if masks is not None:
        return [float(area) for area in masks.area]
    return [round((x2 - x1) * (y2 - y1), 2) for x1, y1, x2, y2 in (found.box for found in frame.found)]
