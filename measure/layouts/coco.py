"""COCO's layout, Roboflow's too (streams/layouts/coco.py), or one such JSON.

The pictures are in the order of their ids, as COCO's own code has them. Crowds are difficult: they need not be found.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from watchline.extras import command
from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.measure.layouts.labelled import DataSet, Labelled, chosen, names_of
from watchline.ops.errors import DetectionsError
from watchline.ops.masks import Masks
from watchline.streams.frame import ArrayPicture
from watchline.streams.layouts.coco import ROBOFLOW, is_box, is_inside, photos_of, split_of, splits
from watchline.streams.photo import read_photo

EXPECTED = "COCO's (annotations/instances_SPLIT.json, SPLIT; or SPLIT/_annotations.coco.json)"
MOST_BYTES = 1 << 31  # of a JSON; COCO's largest has half a GiB

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Picture:
    """Attributes:
    file: of the photo. name: as a Labelled has it. objects: in it.
    size: (width, height) as the JSON has it; None if it does not say.
    """

    file: str
    name: str
    size: tuple[int, int] | None
    objects: list[Entry]


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout, or a file is a JSON."""
    return data.suffix.lower() == ".json" if data.is_file() else bool(splits(data))


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`."""
    if data.is_file():
        has_folder = data.parent.name == "annotations" or data.name == ROBOFLOW
        file, folder = data, data.parent.parent if has_folder else data.parent
        split = chosen(data, split, [split_of(data)])
    else:
        there = splits(data)
        split = chosen(data, split, list(there))
        file, folder = there[split], data
    classes, pictures = _parsed(file)
    photos = photos_of(file, folder, split)
    some = pictures[::every]
    if not some:
        raise DataRefused(f"{file} lists no pictures: expected some under `images`")

    def read() -> Iterator[Labelled]:
        return (_labelled(file, photos, classes, picture) for picture in some)

    return DataSet(folder.resolve().name, "COCO", split, "coco", len(some), read)


def _parsed(file: Path) -> tuple[dict[Any, str], list[_Picture]]:
    """Class names by id, and the pictures. Raises DataRefused: it is no such list."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        listed = json.loads(file.read_bytes())
        classes = {one["id"]: str(one["name"]) for one in listed["categories"]}
        of_picture: dict[Any, list[Entry]] = {one["id"]: [] for one in listed["images"]}
        for one in listed["annotations"]:
            of_picture[one["image_id"]].append(one)
        images = sorted(listed["images"], key=lambda one: one["id"])
        files = [str(one["file_name"]) for one in images]
        pictures = [
            _Picture(file_name, name, _size(one), of_picture[one["id"]])
            for file_name, name, one in zip(files, names_of([*map(PurePath, files)]), images, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataRefused(f"{file}: it is not COCO's list of instances ({error!r})") from error
    if wrong := [one.file for one in pictures if not is_inside(one.file)]:
        raise DataRefused(f"{file} names {wrong[0]!r}, which leads out of the folder: expected names of photos in it")
    return classes, pictures


def _size(image: Entry) -> tuple[int, int] | None:
    size = image.get("width"), image.get("height")
    return (size[0], size[1]) if isinstance(size[0], int) and isinstance(size[1], int) else None


def _labelled(file: Path, photos: Path, classes: Mapping[Any, str], picture: _Picture) -> Labelled:
    name, objects = picture.file, picture.objects
    if not (photos / name).is_file():
        raise DataNotFound(f"{photos / name} is missing: {file} names it; expected the photos in {photos}")
    image = read_photo(photos / name).pixels
    size = (image.shape[1], image.shape[0])
    if picture.size not in (None, size):
        raise DataRefused(
            "{}: it has {} with {} x {} pixels, the photo has {} x {} upright; is its EXIF orientation missing in "
            "the labels? Rotate the photo's pixels, or label it again".format(file, name, *picture.size, *size)
        )
    try:
        sides = np.array([_box(one["bbox"]) for one in objects], np.float64).reshape(-1, 4)
        names = tuple(classes[one["category_id"]] for one in objects)
        crowd = np.array([bool(one.get("iscrowd", 0)) for one in objects], np.bool_)
        areas = np.array([one.get("area", w * h) for one, (_, _, w, h) in zip(objects, sides, strict=True)], np.float64)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataRefused(f"{file}: {name} has an object that cannot be ({error!r})") from error
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1).astype(np.float32)
    has_masks = all("segmentation" in one for one in objects)
    masks = partial(_masks, file, name, objects, (image.shape[0], image.shape[1])) if has_masks else None
    return Labelled(picture.name, ArrayPicture(image), boxes, names, crowd, areas, masks)


def _box(sides: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height. Raises ValueError, TypeError: they are none."""
    if not is_box(sides) or min(sides[2:]) < 0:
        raise ValueError(f"bbox {str(sides)[:40]}: expected x, y, width and height in pixels")
    x, y, w, h = map(float, sides)
    return x, y, w, h


def _masks(file: Path, name: str, objects: Sequence[Entry], size: tuple[int, int]) -> Masks:
    """Of a picture's objects. Raises DataRefused: one cannot be; LibraryNotInstalled: polygons need pycocotools."""
    try:
        return Masks.from_rle([_run_lengths(one["segmentation"], size) for one in objects], size)
    except (DetectionsError, ValueError, KeyError, TypeError) as error:
        raise DataRefused(f"{file}: {name} has an object that cannot be ({error})") from error


def _is_polygon(corners: Any) -> bool:
    numbers = isinstance(corners, list) and all(isinstance(x, int | float) for x in corners)
    return numbers and len(corners) >= 6 and len(corners) % 2 == 0


def _run_lengths(segmentation: Any, size: tuple[int, int]) -> Entry:
    """Of an object: as they are, or of its polygons, by COCO's own rule."""
    if isinstance(segmentation, dict):
        return segmentation
    if not (isinstance(segmentation, list) and segmentation and all(map(_is_polygon, segmentation))):
        raise ValueError(
            f"segmentation is {str(segmentation)[:40]}: expected run lengths, or polygons of six numbers or more"
        )
    try:
        from pycocotools import mask
    except ImportError as error:
        raise LibraryNotInstalled(f"COCO's polygons need pycocotools ({error}): {command('coco')}") from error
    whole: Entry = mask.merge(mask.frPyObjects(segmentation, *size))
    return whole
