"""YOLO's layout: photos, and for each a text of its boxes (streams/layouts/yolo.py).

- A `data.yaml` (or another .yaml) with `names`, `path`, and for each split its photos: a folder, several, or a list in
  a text file.
- `images` and `labels` with `names.txt` or `classes.txt`; splits are folders in `images`, or lists `SPLIT.txt`.
- coco128's: `images/SPLIT`, `object_detection/labels/SPLIT`, and COCO's names.

A photo without a text, or with an empty one, has no objects. Boxes in a folder `unsure` are difficult.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from watchline.export import labels
from watchline.export.errors import ExportError
from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, names_of, photos_of, read_text
from watchline.ops.coco import COCO
from watchline.streams.frame import ArrayPicture
from watchline.streams.layouts import yolo
from watchline.streams.layouts.yolo import LABELS, SPLITS, UNSURE, YAML, label_file
from watchline.streams.photo import read_photo

EXPECTED = "YOLO's (data.yaml; or images, labels and names.txt)"
NAMES = ("names.txt", "classes.txt")
SLACK = 10.0  # sides of its picture that a coordinate may be outside


Triples = list[tuple[str, Path, Path]]
"""Names of photos, the photos, and the text of each one's rows."""


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout, or a file is a YAML."""
    if data.is_file():
        return data.suffix.lower() in YAML
    return yolo.yaml_of(data) is not None or _coco128(data).is_dir() or _names_of(data) is not None


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`."""
    listing = data if data.is_file() else yolo.yaml_of(data)
    if listing is not None:
        split, names, photos = _of_yaml(listing, split)
    elif _coco128(data).is_dir():
        split, names = chosen(data, split, _folders(data / "images")), tuple(COCO)
        folder, texts = data / "images" / split, _coco128(data) / split
        photos = [
            (name, photo, (texts / photo.relative_to(folder)).with_suffix(".txt"))
            for name, photo in _named(photos_of(folder), [folder])
        ]
    else:
        split, names, photos = _of_folders(data, split)
    some = photos[::every]
    folder = data.parent if data.is_file() else data

    def read() -> Iterator[Labelled]:
        return (_labelled(name, photo, text, names) for name, photo, text in some)

    return DataSet(folder.resolve().name, "YOLO", split, "coco", len(some), read)


def _coco128(folder: Path) -> Path:
    return folder / "object_detection" / "labels"


def _names_of(folder: Path) -> Path | None:
    there = (folder / "images").is_dir() and (folder / "labels").is_dir()
    return next((folder / name for name in NAMES if (folder / name).is_file()), None) if there else None


def _folders(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def _named(photos: Sequence[Path], folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Photos, each once, with its name below what all folders have in common."""
    root = os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100  links stay as they are
    once = list(dict.fromkeys(photos))
    return list(zip(names_of([Path(os.path.relpath(photo, root)) for photo in once]), once, strict=True))


def _said(file: Path) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """The class names of a file, and what else a YAML says. Raises DataRefused, LibraryNotInstalled."""
    try:
        return labels.read(file), labels.mapping(file) if file.suffix.lower() in YAML else {}
    except ExportError as error:
        is_missing = isinstance(error.__cause__, ModuleNotFoundError)
        raise (LibraryNotInstalled if is_missing else DataRefused)(str(error)) from error


def _of_yaml(file: Path, split: str | None) -> tuple[str, tuple[str, ...], Triples]:
    """The split, the class names and the photos. Paths are relative to `path`, which is relative to the file."""
    names, said = _said(file)
    roots = yolo.roots_of(file, said)
    splits = yolo.splits_of(said, roots)
    if not splits:
        raise DataRefused(
            f"{file} lists no photos: expected {', '.join(SPLITS)}, each a folder or a list of photos, or a folder "
            f"images in {roots[0]}"
        )
    split = chosen(file, split, list(splits))
    given = splits[split] if isinstance(splits[split], list) else [splits[split]]
    if not all(isinstance(one, str) for one in given):
        raise DataRefused(f"{file}: {split} is not a text: expected a folder, a list of photos, or several of them")
    photos: list[Path] = []
    folders: list[Path] = []
    for one in given:
        found = yolo.found(one, roots)
        if found is None:
            raise DataNotFound(f"{file} names {one!r}, which is not there: expected a folder or a list of photos")
        here = photos_of(found) if found.is_dir() else yolo.photos_listed(read_text(found), found, roots)
        photos += here
        folders += [found] if found.is_dir() else [photo.parent for photo in here]
    if not photos:
        raise DataRefused(f"{file}: the list of {split} is empty: expected a photo in each line")
    return split, names, [(name, photo, label_file(photo)) for name, photo in _named(photos, folders)]


def _of_folders(data: Path, split: str | None) -> tuple[str, tuple[str, ...], Triples]:
    """`images` and `labels`: splits are folders in `images`, or else lists of names."""
    file = _names_of(data)
    assert file is not None, "is_here has seen it"
    lists = [file.stem for file in sorted(data.glob("*.txt")) if file.name not in NAMES]
    folders = [name for name in _folders(data / "images") if (data / LABELS / name).is_dir()]
    split = chosen(data, split, folders or lists or [ALL])
    folder = data / "images" / split if folders else data / "images"
    photos = _named(photos_of(folder), [folder])
    if not folders and lists:
        photos = _chosen_by(data / f"{split}.txt", photos)
    return split, _said(file)[0], [(name, photo, label_file(photo)) for name, photo in photos]


def _chosen_by(listing: Path, photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The photos that a list names, with or without their folders."""
    by_name = {photo.stem: (name, photo) for name, photo in photos} | {one[0]: one for one in photos}
    found = []
    for line in _lines(listing):
        name = Path(line).with_suffix("").as_posix()
        photo = by_name.get(line) or by_name.get(name) or by_name.get(Path(line).stem)
        if photo is None:
            raise DataNotFound(f"{listing} names {name!r}: there is no such photo in {listing.parent / 'images'}")
        found.append(photo)
    return list(dict.fromkeys(found))


def _lines(file: Path) -> list[str]:
    """Of a text. Raises DataRefused: it cannot be read."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _labelled(name: str, photo: Path, text: Path, names: tuple[str, ...]) -> Labelled:
    if not photo.is_file():
        raise DataNotFound(f"{photo} is missing: expected each photo that the list names")
    image = read_photo(photo).pixels
    sure, unsure = _rows(text, len(names)), []
    if (other := label_file(photo, UNSURE)) != label_file(photo):
        unsure = _rows(other, len(names))
    rows, difficult = [*sure, *unsure], np.repeat([False, True], [len(sure), len(unsure)])
    shares = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    boxes = (shares * (image.shape[1::-1] * 2)).astype(np.float32)
    return Labelled(name, ArrayPicture(image), boxes, tuple(names[number] for number, _ in rows), difficult)


def _rows(text: Path, classes: int) -> list[tuple[int, list[float]]]:
    """Class and box of each line."""
    rows = []
    for number, line in enumerate(read_text(text).splitlines() if text.is_file() else [], 1):
        if not line.strip():
            continue
        try:
            rows.append(yolo.row(line, classes, SLACK))
        except ValueError as error:
            raise DataRefused(f"{text} line {number}: {error}") from error
    return rows
