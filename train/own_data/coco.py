"""Reads labels in COCO's JSON, or Roboflow's (streams/layouts/coco.py). Masks are not read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from watchline.streams.layouts.coco import FARTHEST, is_box, is_inside, photos_of, splits
from watchline.train.own_data.labels import JSON, Labels, Layout, read_bytes, table

EXPECTED = "expected COCO's list of instances (images, annotations, categories)"


def read(folder: Path) -> Layout:
    """The labels of a folder. The split for training has "train" in its name, or is the only one."""
    layout = Layout()
    there = splits(folder)
    train = next((name for name in there if "train" in name), next(iter(there)) if len(there) == 1 else None)
    val = next((name for name in there if name != train and "val" in name), None)
    if train is None:
        layout.problems.append(f"{folder}: splits {', '.join(there)}: expected one with train in its name; rename it")
        return layout
    loaded = {name: _load(there[name], layout) for name in (train, val) if name is not None}
    names: dict[int, str] = {}
    for name, content in loaded.items():
        found = _categories(there[name], content, layout)
        if names and found != names and content:
            layout.problems.append(
                f"{there[name]}: its categories differ from those of {there[train]}: expected the same"
            )
        names = names or found
    numbers = {identity: number for number, identity in enumerate(sorted(names))}
    layout.names = tuple(names[identity] for identity in numbers)
    layout.train = _split(folder, there[train], train, loaded[train], numbers, layout)
    layout.val = _split(folder, there[val], val, loaded[val], numbers, layout) if val else None
    return layout


def _load(file: Path, layout: Layout) -> Mapping[str, Any]:
    """Three lists of mappings, empty ones if the file cannot be used."""
    none: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content = read_bytes(file, JSON, layout.problems)
    if content is None:
        return none
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError) as error:
        layout.problems.append(f"{file}: it is not JSON ({error}); {EXPECTED}")
        return none
    if not isinstance(loaded, dict) or not all(_are_mappings(loaded.get(key)) for key in none):
        layout.problems.append(f"{file}: {EXPECTED}; export it again")
        return none
    return loaded


def _are_mappings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _categories(file: Path, loaded: Mapping[str, Any], layout: Layout) -> dict[int, str]:
    """The names of the classes by COCO's own id."""
    names: dict[int, str] = {}
    for one in loaded["categories"]:
        identity, name = one.get("id"), one.get("name")
        if type(identity) is not int or not isinstance(name, str) or not name.strip() or not name.isprintable():
            layout.problems.append(f"{file}: category {identity!r} is {name!r}; expected a number and a class name")
        elif identity in names or name.strip() in names.values():
            layout.problems.append(f"{file}: category {identity} {name!r} is there twice; name each class once")
        else:
            names[identity] = name.strip()
    return names


def _split(
    folder: Path, file: Path, split: str, loaded: Mapping[str, Any], numbers: Mapping[int, int], layout: Layout
) -> list[Labels]:
    of_picture: dict[Any, list[tuple[str, list[float], int, bool]]] = {}
    for one in loaded["images"]:
        of_picture[_key(one.get("id"))] = []
    for one in loaded["annotations"]:
        row = f"{file} annotation {one.get('id')}"
        picture, box = _key(one.get("image_id")), one.get("bbox")
        if picture not in of_picture:
            layout.problems.append(f"{row}: image_id {one.get('image_id')!r} is not one of its images; remove it")
        elif _key(one.get("category_id")) not in numbers:
            layout.problems.append(
                f"{row}: category_id {one.get('category_id')!r} is unknown: expected one of {_some(numbers)}"
            )
        elif not is_box(box):
            layout.problems.append(
                f"{row}: bbox is {str(box)[:40]}: expected x, y, width, height in pixels, none beyond {FARTHEST:g}; "
                "correct it"
            )
        else:
            x, y, w, h = box
            number = numbers[one["category_id"]]
            of_picture[picture].append((row, [x, y, x + w, y + h], number, bool(one.get("iscrowd"))))
    root = photos_of(file, folder, split)
    read = []
    for one in loaded["images"]:
        name = one.get("file_name")
        if not isinstance(name, str) or not is_inside(name):
            layout.problems.append(f"{file} names the picture {name!r}: expected a file in {root}; correct it")
            continue
        rows = of_picture[_key(one.get("id"))]
        size = one.get("width"), one.get("height")
        read.append(
            Labels(
                root / name,
                tuple(row for row, *_ in rows),
                table([box for _, box, _, _ in rows]),
                False,
                np.array([number for *_, number, _ in rows], np.int64),
                np.array([crowd for *_, crowd in rows], np.bool_),
                size if type(size[0]) is int and type(size[1]) is int else None,
            )
        )
    return read


def _key(identity: object) -> object:
    """An id as a key: a list in its place is not one, and would not hash."""
    return identity if isinstance(identity, int | str) else None


def _some(numbers: Mapping[int, int]) -> str:
    known = [str(number) for number in numbers]
    return ", ".join([*known[:8], "…"] if len(known) > 8 else known) or "its categories, which are missing"
