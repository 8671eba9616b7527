"""YOLO's layout: photos, and for each a text of rows `class x y width height`, the centre and sides in 0..1.

- A `data.yaml` (or another .yaml) with `names`, `path`, and for each split its photos: a folder, several, or a list in
  a text file. Labels are where `images` in a photo's path is `labels`.
- `images` and `labels` with `names.txt` or `classes.txt`; splits are folders in `images`, or lists `SPLIT.txt`.
- coco128's: `images/SPLIT`, `object_detection/labels/SPLIT`, and COCO's names.

A photo without a text, or with an empty one, has no objects. A row of more numbers is a polygon: its extent is the box.
Boxes in a folder `unsure`, as `watchline label` writes it, are difficult.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.export import labels
from watchline.export.errors import ExportError
from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, photos_of, read_text
from watchline.ops.coco import COCO
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

EXPECTED = "YOLO's (data.yaml; or images, labels and names.txt)"
YAML = (".yaml", ".yml")
SPLITS = ("val", "valid", "validation", "test", "train")
NAMES = ("names.txt", "classes.txt")
LABELS, UNSURE = "labels", "unsure"  # folders
FARTHEST = 10  # sides of its picture that a coordinate may be away


Triples = list[tuple[str, Path, Path]]
"""Names of photos, the photos, and the text of each one's rows."""


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout, or a file is a YAML."""
    if data.is_file():
        return data.suffix.lower() in YAML
    return _yaml_of(data) is not None or _coco128(data).is_dir() or _names_of(data) is not None


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`."""
    listing = data if data.is_file() else _yaml_of(data)
    if listing is not None:
        split, names, photos = _of_yaml(listing, split)
    elif _coco128(data).is_dir():
        split, names = chosen(data, split, _folders(data / "images")), tuple(COCO)
        folder, texts = data / "images" / split, _coco128(data) / split
        photos = [(name, photo, texts / f"{name}.txt") for name, photo in _named(photos_of(folder), [folder])]
    else:
        split, names, photos = _of_folders(data, split)
    some = photos[::every]
    folder = data.parent if data.is_file() else data

    def read() -> Iterator[Labelled]:
        return (_labelled(name, photo, text, names) for name, photo, text in some)

    return DataSet(folder.resolve().name, "YOLO", split, "coco", len(some), read)


def _yaml_of(folder: Path) -> Path | None:
    """The file that lists the data: `data.yaml`, or the only YAML."""
    found = sorted(file for file in folder.glob("*") if file.suffix.lower() in YAML)
    return next((file for file in found if file.stem == "data"), found[0] if len(found) == 1 else None)


def _coco128(folder: Path) -> Path:
    return folder / "object_detection" / "labels"


def _names_of(folder: Path) -> Path | None:
    there = (folder / "images").is_dir() and (folder / "labels").is_dir()
    return next((folder / name for name in NAMES if (folder / name).is_file()), None) if there else None


def _folders(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def _named(photos: Sequence[Path], folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Photos, each once, with its name below what all folders have in common: two of one stem have different names."""
    root = os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100  links stay as they are
    return [(Path(os.path.relpath(photo, root)).with_suffix("").as_posix(), photo) for photo in dict.fromkeys(photos)]


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
    there = [name for name in SPLITS if said.get(name)]
    if not there:
        raise DataRefused(f"{file} lists no photos: expected {', '.join(SPLITS)}, each a folder or a list of photos")
    split = chosen(file, split, there)
    given = said[split] if isinstance(said[split], list) else [said[split]]
    if not all(isinstance(one, str) for one in given):
        raise DataRefused(f"{file}: {split} is not a text: expected a folder, a list of photos, or several of them")
    path = said.get("path")
    roots = [file.parent / (path if isinstance(path, str) else ""), file.parent]  # `path` may be of where it was made
    photos: list[Path] = []
    folders: list[Path] = []
    for one in given:
        found = _found(file, one, roots)
        here = photos_of(found) if found.is_dir() else _listed(found, roots)
        photos += here
        folders += [found] if found.is_dir() else [photo.parent for photo in here]
    if not photos:
        raise DataRefused(f"{file}: the list of {split} is empty: expected a photo in each line")
    return split, names, [(name, photo, _text_of(photo)) for name, photo in _named(photos, folders)]


def _found(file: Path, where: str, roots: Sequence[Path]) -> Path:
    """A folder, or a list of photos. Raises DataNotFound."""
    names = (where, where.removeprefix("../"))  # Roboflow writes ../valid/images for a folder next to the file
    found = next((path for root in roots for name in names if (path := root / name).exists()), None)
    if found is None:
        raise DataNotFound(f"{file} names {where!r}, which is not there: expected a folder or a list of photos")
    return found


def _listed(file: Path, roots: Sequence[Path]) -> list[Path]:
    """The photos of a list, which are relative to it or to a root."""
    return [next((p for p in (file.parent / line, *(r / line for r in roots)) if p.is_file()), file.parent / line)
            for line in _lines(file)]  # fmt: skip


def _text_of(photo: Path, folder: str = LABELS) -> Path:
    """`…/images/val/a.jpg` -> `…/labels/val/a.txt`; without `images` in the path, next to the photo."""
    parts = list(photo.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = folder
            break
    return Path(*parts).with_suffix(".txt")


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
    return split, _said(file)[0], [(name, photo, _text_of(photo)) for name, photo in photos]


def _chosen_by(listing: Path, photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The photos that a list names, with or without their folders."""
    by_name = {photo.stem: (name, photo) for name, photo in photos} | {one[0]: one for one in photos}
    found = []
    for line in _lines(listing):
        name = Path(line).with_suffix("").as_posix()
        photo = by_name.get(name) or by_name.get(Path(line).stem)
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
    sure, unsure = _rows(text, len(names)), np.empty((0, 5))
    if (other := _text_of(photo, UNSURE)) != _text_of(photo):
        unsure = _rows(other, len(names))
    rows, difficult = np.concatenate([sure, unsure]), np.repeat([False, True], [len(sure), len(unsure)])
    size = np.array(image.shape[1::-1])
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    boxes = np.concatenate([(centre - half) * size, (centre + half) * size], axis=1).astype(np.float32)
    known = tuple(names[int(number)] for number in rows[:, 0])
    return Labelled(name, ArrayPicture(image), boxes, known, difficult)


def _rows(text: Path, classes: int) -> NDArray[np.float64]:
    """(M, 5): class, centre and sides; of a polygon, its extent."""
    lines = _lines(text) if text.is_file() else []
    rows = np.empty((len(lines), 5))
    for row, line in zip(rows, lines, strict=True):
        try:
            number, *sides = map(float, line.split())
            if len(sides) == 2:
                raise ValueError("one corner is not a polygon")
            corners = np.reshape(sides, (-1, 2))
            low, high = corners.min(axis=0), corners.max(axis=0)
            row[:] = (number, *sides) if len(sides) == 4 else (number, *(low + high) / 2, *(high - low))
        except ValueError:
            row[:] = np.nan
        if not (np.isfinite(row).all() and row[0] in range(classes) and np.abs(row[1:]).max() < FARTHEST):
            raise DataRefused(
                f"{text}: {line[:40]!r}; expected a class from 0 to {classes - 1}, and centre, width and height in "
                "0..1, or a polygon of three corners or more"
            )
    return rows
