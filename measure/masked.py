"""Labelled pictures with masks, in Penn-Fudan's layout or in COCO's.

    for picture in masked.read(Path("pennfudan"), "test"):
        picture.image, picture.masks, picture.names

Penn-Fudan's is `images` and `masks` (ops/penn_fudan.py); all its objects are persons. COCO's is the photos in a folder
`SPLIT` and `annotations/instances_SPLIT.json`; polygons and run lengths are read, crowds as well.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.extras import command
from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.ops import penn_fudan
from watchline.ops.errors import DetectionsError
from watchline.ops.masks import Masks
from watchline.streams.photo import read_photo

INSTANCES = "instances_"
PERSON = "person"


@dataclass(frozen=True, slots=True)
class MaskedPicture:
    """One picture and the pixels of what is in it.

    Attributes:
        name: of its file.
        image: (H, W, 3) uint8 BGR.
        masks: of N objects.
        names: N class names, as the data set spells them.
        crowd: (N,) bool: a group that need not be told apart.
    """

    name: str
    image: NDArray[np.uint8]
    masks: Masks
    names: tuple[str, ...]
    crowd: NDArray[np.bool_]


def is_masked(folder: Path) -> bool:
    """Whether a folder is in one of the two layouts."""
    return bool(splits(folder))


def splits(folder: Path) -> list[str]:
    """The splits of a folder; none if it is in neither layout."""
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return list(penn_fudan.SPLITS)
    return sorted(file.stem.removeprefix(INSTANCES) for file in (folder / "annotations").glob(f"{INSTANCES}*.json"))


def find_split(folder: Path, split: str | None = None) -> str:
    """The split to read: the one asked for, else the first of "test", "val…" and the others.

    Raises:
        DataNotFound: the folder is in neither layout, or has no such split.
    """
    there = splits(folder)
    if not there:
        raise DataNotFound(
            f"{folder} has no labelled masks: expected Penn-Fudan's layout (images, masks) or COCO's "
            "(annotations/instances_SPLIT.json, SPLIT)"
        )
    if split is None:
        return min(there, key=lambda name: (name != "test", not name.startswith("val"), name))
    if split not in there:
        raise DataNotFound(f"{folder} has no split {split!r}: expected one of {', '.join(there)}")
    return split


def read(folder: Path, split: str, every: int = 1) -> Iterator[MaskedPicture]:
    """The pictures of a split, by name or in the order of the JSON. Args: every, only every n-th.

    Raises:
        DataNotFound, DataRefused: a file is missing or broken.
        LibraryNotInstalled: COCO's polygons need pycocotools.
        SourceUnreadable: a photo cannot be decoded.
    """
    if (folder / "masks").is_dir():
        return _penn_fudan(folder, split, every)
    return _coco(folder, split, every)


def _penn_fudan(folder: Path, split: str, every: int) -> Iterator[MaskedPicture]:
    photos = sorted(file for file in (folder / "images").iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for photo in penn_fudan.of_split(photos, split)[::every]:
        file = folder / "masks" / f"{photo.stem}.png"
        plane = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        image = read_photo(photo).pixels
        if plane is None or plane.shape != image.shape[:2]:
            raise DataRefused(f"{file}: expected a picture of one channel, of the size of {photo.name}")
        masks = penn_fudan.masks_of(np.asarray(plane, np.uint8))
        yield MaskedPicture(photo.name, image, masks, (PERSON,) * len(masks), np.zeros(len(masks), np.bool_))


def _coco(folder: Path, split: str, every: int) -> Iterator[MaskedPicture]:
    file = folder / "annotations" / f"{INSTANCES}{split}.json"
    try:
        labelled = json.loads(file.read_bytes())
        classes = {one["id"]: str(one["name"]) for one in labelled["categories"]}
        of_picture: dict[int, list[Mapping[str, Any]]] = {one["id"]: [] for one in labelled["images"]}
        for one in labelled["annotations"]:
            of_picture[one["image_id"]].append(one)
        pictures = [(str(one["file_name"]), of_picture[one["id"]]) for one in labelled["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataRefused(f"{file}: it is not COCO's list of instances ({error!r})") from error
    for name, objects in pictures[::every]:
        if Path(name).name != name:
            raise DataRefused(f"{file} names {name!r}, which leads out of the folder: expected plain names")
        image = read_photo(folder / split / name).pixels
        size = (image.shape[0], image.shape[1])
        try:
            masks = Masks.from_rle([_run_lengths(one["segmentation"], size) for one in objects], size)
            names = tuple(classes[one["category_id"]] for one in objects)
            crowd = np.array([bool(one.get("iscrowd", 0)) for one in objects], np.bool_)
        except (DetectionsError, ValueError, KeyError, TypeError) as error:
            raise DataRefused(f"{file}: {name} has an object that cannot be ({error})") from error
        yield MaskedPicture(name, image, masks, names, crowd)


def _is_polygon(corners: Any) -> bool:
    numbers = isinstance(corners, list) and all(isinstance(x, int | float) for x in corners)
    return numbers and len(corners) >= 6 and len(corners) % 2 == 0


def _run_lengths(segmentation: Any, size: tuple[int, int]) -> Mapping[str, Any]:
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
    whole: Mapping[str, Any] = mask.merge(mask.frPyObjects(segmentation, *size))
    return whole
