"""YOLO's layout: photos, and for each a text of rows `class x y width height`, the centre and sides in 0..1.

- A `data.yaml` (or another .yaml) with `names`, `path`, and for each split its photos: a folder, several, or a list in
  a text file. Labels are where `images` in a photo's path is `labels`.
- `images` and `labels` with `names.txt` or `classes.txt`; splits are folders in `images`, or lists `SPLIT.txt`.
- coco128's: `images/SPLIT`, `object_detection/labels/SPLIT`, and COCO's names.

A photo without a text, or with an empty one, has no objects. A row of more numbers is a polygon: its extent is the box.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.export import labels
from watchline.export.errors import ExportError
from watchline.extras import command
from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, chosen, photos_of
from watchline.ops.coco import COCO
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

EXPECTED = "YOLO's (data.yaml; or images, labels and names.txt)"
YAML = (".yaml", ".yml")
SPLITS = ("val", "test", "train")
NAMES = ("names.txt", "classes.txt")
MOST_BYTES = 1 << 24  # of a text


Pairs = list[tuple[Path, Path]]
"""Photos, each with the text of its rows."""


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout, or a file is a YAML."""
    if data.is_file():
        return data.suffix.lower() in YAML
    return _yaml_of(data) is not None or _coco128(data).is_dir() or _names_of(data) is not None


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`."""
    listing = data if data.is_file() else _yaml_of(data)
    if listing is not None:
        split, names, pairs = _of_yaml(listing, split)
    elif _coco128(data).is_dir():
        split = chosen(data, split, _folders(data / "images"))
        photos = photos_of(data / "images" / split)
        names, pairs = tuple(COCO), [(photo, _coco128(data) / split / f"{photo.stem}.txt") for photo in photos]
    else:
        split, names, pairs = _of_folders(data, split)
    some = pairs[::every]
    folder = data.parent if data.is_file() else data

    def read() -> Iterator[Labelled]:
        return (_labelled(photo, text, names) for photo, text in some)

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


def _names(file: Path) -> tuple[str, ...]:
    try:
        return labels.read(file)
    except ExportError as error:
        raise DataRefused(str(error)) from error


def _of_yaml(file: Path, split: str | None) -> tuple[str, tuple[str, ...], Pairs]:
    """The split, the class names and the photos. Paths are relative to `path`, which is relative to the file."""
    listed = _parsed(file)
    there = [name for name in SPLITS if listed.get(name)]
    if not there:
        raise DataRefused(f"{file} lists no photos: expected {', '.join(SPLITS)}, each a folder or a list of photos")
    split = chosen(file, split, there)
    roots = [file.parent / str(listed.get("path") or "."), file.parent]  # `path` may be of where it was made
    given = listed[split] if isinstance(listed[split], list) else [listed[split]]
    photos = [photo for one in given for photo in _photos_at(file, str(one), roots)]
    return split, _names(file), [(photo, _text_of(photo)) for photo in photos]


def _parsed(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise LibraryNotInstalled(f"{file}: YAML needs PyYAML ({error}): {command('export')}") from error
    try:
        listed = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataRefused(f"{file}: it is no YAML ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(listed, dict):
        raise DataRefused(f"{file}: expected `path`, `names` and {', '.join(SPLITS)}")
    return listed


def _photos_at(file: Path, where: str, roots: Sequence[Path]) -> list[Path]:
    """The photos of a folder, or of a list of photos."""
    names = (where, where.removeprefix("../"))  # Roboflow writes ../valid/images for a folder next to the file
    found = next((path for root in roots for name in names if (path := root / name).exists()), None)
    if found is None:
        raise DataNotFound(f"{file} names {where!r}, which is not there: expected a folder or a list of photos")
    if found.is_dir():
        return photos_of(found)
    return [next((p for p in (found.parent / line, *(r / line for r in roots)) if p.is_file()), found.parent / line)
            for line in _lines(found)]  # fmt: skip


def _text_of(photo: Path) -> Path:
    """`…/images/val/a.jpg` -> `…/labels/val/a.txt`; without `images` in the path, next to the photo."""
    parts = list(photo.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _of_folders(data: Path, split: str | None) -> tuple[str, tuple[str, ...], Pairs]:
    """`images` and `labels`: splits are folders in `images`, or else lists of names."""
    names = _names_of(data)
    assert names is not None, "is_here has seen it"
    lists = [file.stem for file in sorted(data.glob("*.txt")) if file.name not in NAMES]
    folders = [name for name in _folders(data / "images") if (data / "labels" / name).is_dir()]
    split = chosen(data, split, folders or lists or [ALL])
    photos = photos_of(data / "images" / split if folders else data / "images")
    if not folders and lists:
        by_name = {photo.stem: photo for photo in photos}
        listed = [Path(line).stem for line in _lines(data / f"{split}.txt")]
        if missing := next((name for name in listed if name not in by_name), None):
            raise DataNotFound(f"{data / split}.txt names {missing!r}: there is no such photo in {data / 'images'}")
        photos = [by_name[name] for name in listed]
    return split, _names(names), [(photo, _text_of(photo)) for photo in photos]


def _lines(file: Path) -> list[str]:
    """Of a text. Raises DataRefused: it cannot be read."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataRefused(f"{file}: it cannot be read as text ({error})") from error


def _labelled(photo: Path, text: Path, names: tuple[str, ...]) -> Labelled:
    if not photo.is_file():
        raise DataNotFound(f"{photo} is missing: expected each photo that the list names")
    image = read_photo(photo).pixels
    rows = _rows(text, len(names))
    size = np.array(image.shape[1::-1])
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    boxes = np.concatenate([(centre - half) * size, (centre + half) * size], axis=1).astype(np.float32)
    known = tuple(names[int(number)] for number in rows[:, 0])
    return Labelled(photo.stem, ArrayPicture(image), boxes, known, np.zeros(len(rows), np.bool_))


def _rows(text: Path, classes: int) -> NDArray[np.float64]:
    """(M, 5): class, centre and sides; of a polygon, its extent."""
    lines = _lines(text) if text.is_file() else []
    rows = np.empty((len(lines), 5))
    for row, line in zip(rows, lines, strict=True):
        try:
            number, *sides = map(float, line.split())
            corners = np.reshape(sides, (-1, 2))
            low, high = corners.min(axis=0), corners.max(axis=0)
            row[:] = (number, *sides) if len(sides) == 4 else (number, *(low + high) / 2, *(high - low))
        except ValueError:
            row[:] = np.nan
        if not (np.isfinite(row).all() and row[0] in range(classes) and np.abs(row[1:]).max() < 10):
            raise DataRefused(
                f"{text}: {line[:40]!r}; expected a class from 0 to {classes - 1}, and centre, width and height in 0..1"
            )
    return rows
