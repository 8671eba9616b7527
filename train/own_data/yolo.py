"""Reads labels in YOLO's layout: a `data.yaml`, and a text file of boxes for each picture.

The YAML has `names` (a list, or a mapping from numbers), and `train` and `val`: folders, lists of pictures, or several
of them, relative to `path`. Without `train`, the pictures are in `images`. A label file has the picture's name, in a
folder `labels` instead of `images`; without one, the picture has no object. A line is `class x y width height`, the
middle and the sides in shares of the picture; of a polygon, `class x y x y …`, the extent is taken. Boxes in a folder
`unsure`, as `watchline label` writes it, count neither as objects nor as background.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from watchline.export import labels as class_names
from watchline.export.errors import ExportRefused
from watchline.streams.photo import SUFFIXES
from watchline.train.own_data.labels import Labels, Layout, read_text, table

IMAGES, LABELS, UNSURE = "images", "labels", "unsure"  # folders
SLACK = 0.02  # share of a side by which a number may be outside 0..1; `dataset` clips such boxes
NOT_LABELS = ("classes.txt", "notes.txt", "readme.txt")  # files that labelling tools put next to labels


def yaml_of(folder: Path) -> Path | None:
    """The YAML of a folder, by its usual name or the only one; None if the folder is in another layout."""
    named = [folder / name for name in ("data.yaml", "data.yml", "dataset.yaml")]
    found = [*folder.glob("*.yaml"), *folder.glob("*.yml")]
    return next((file for file in named if file.is_file()), found[0] if len(found) == 1 else None)


def read(file: Path) -> Layout:
    """The labels that a `data.yaml` describes."""
    layout = Layout()
    try:
        layout.names = class_names.read(file)
        loaded = class_names.mapping(file)
    except ExportRefused as error:
        layout.problems.append(str(error))
        return layout
    count = _text(file, loaded, "nc", "the number of the names", layout)
    if count not in (None, str(len(layout.names))):
        layout.problems.append(
            f"{file}: nc is {count[:20]}, and {len(layout.names)} names are there; correct one of them"
        )
    root = file.parent / (_text(file, loaded, "path", "text, the folder of the data", layout) or "")
    train = _pictures(file, root, loaded, ("train",), layout)
    if train is None:
        usual = next((p for p in (root / IMAGES / "train", root / IMAGES) if p.is_dir()), None)
        if usual is None:
            layout.problems.append(f"{file}: it has no `train`, and {root} has no folder images; name the pictures")
            return layout
        train = _of_folder(usual, layout)
    val = _pictures(file, root, loaded, ("val", "valid", "validation"), layout)
    if val is None and "train" not in loaded and (root / IMAGES / "val").is_dir():
        val = _of_folder(root / IMAGES / "val", layout)
    layout.train = [_labels(picture, layout) for picture in train]
    layout.val = None if val is None else [_labels(picture, layout) for picture in val]
    return layout


def _text(file: Path, loaded: Mapping[str, Any], key: str, expected: str, layout: Layout) -> str | None:
    """The text under a key. None if there is none, with a line in the problems if there is something else."""
    value = loaded.get(key)
    if value is None or isinstance(value, str):
        return value
    layout.problems.append(f"{file}: {key} is {_kind(value)}: expected {expected}; correct it")
    return None


def _kind(value: object) -> str:
    """What stands instead of text. Never its content: aliases make a few lines of YAML larger than any memory."""
    return "a list" if isinstance(value, list) else "a mapping"


def _pictures(
    file: Path, root: Path, loaded: Mapping[str, Any], keys: tuple[str, ...], layout: Layout
) -> list[Path] | None:
    """The pictures under the first of the keys that is there, each once; None if none is."""
    value = next((loaded[key] for key in keys if loaded.get(key)), None)
    if value is None:
        return None
    found: list[Path] = []
    for name in value if isinstance(value, list) else [value]:
        if not isinstance(name, str):
            within = "has" if isinstance(value, list) else "is"
            layout.problems.append(
                f"{file}: {keys[0]} {within} {_kind(name)}: expected a folder, or a list of pictures; correct it"
            )
            continue
        path = root / name
        if not path.exists() and name.startswith("../"):
            path = root / name.removeprefix("../")  # Roboflow writes the paths of another folder
        if path.is_dir():
            found += _of_folder(path, layout)
        elif path.is_file() and path.suffix == ".txt":
            found += _of_list(path, layout)
        else:
            layout.problems.append(f"{path}: it is missing: expected what {file} names as {keys[0]}; correct the path")
    return list(dict.fromkeys(found))


def _of_folder(folder: Path, layout: Layout) -> list[Path]:
    """The pictures in a folder and below it. A label file without a picture is a problem."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    known = {label_file(path) for path in found}
    folders = {label_file(folder / "any").parent, *(file.parent for file in known)}
    for labels in sorted(folders - {path.parent for path in found} - {folder}):
        orphans = {file for file in labels.glob("*.txt") if file.name.lower() not in NOT_LABELS} - known
        layout.problems += [
            f"{file}: it has no picture in {folder}: expected one with its name; add the picture, or remove the labels"
            for file in sorted(orphans)
        ]
    return found


def _of_list(file: Path, layout: Layout) -> list[Path]:
    lines = (read_text(file, layout.problems) or "").splitlines()
    return [file.parent / line.strip() for line in lines if line.strip()]


def label_file(picture: Path, folder: str = LABELS) -> Path:
    """The file of a picture's boxes: in `folder` instead of the last `images` of its path."""
    parts = list(picture.parts)
    for number in range(len(parts) - 2, -1, -1):
        if parts[number] == IMAGES:
            parts[number] = folder
            break
    return Path(*parts).with_suffix(".txt")


def _labels(picture: Path, layout: Layout) -> Labels:
    found: list[tuple[str, int, list[float], bool]] = []
    sure, unsure = (label_file(picture, folder) for folder in (LABELS, UNSURE))
    for file in dict.fromkeys((sure, unsure)):  # one file if no folder is called images
        text = read_text(file, layout.problems) if file.is_file() else ""
        for number, line in enumerate((text or "").splitlines(), 1):
            if not line.strip():
                continue
            row = f"{file} line {number}"
            try:
                found.append((row, *_row(line, len(layout.names)), file != sure))
            except ValueError as error:
                layout.problems.append(f"{row}: {error}")
    return Labels(
        picture,
        tuple(row for row, *_ in found),
        table([box for _, _, box, _ in found]),
        True,
        np.array([index for _, index, _, _ in found], np.int64),
        np.array([ignored for *_, ignored in found], np.bool_),
    )


def _row(line: str, names: int) -> tuple[int, list[float]]:
    """Class and box (xyxy in shares) of a line. Raises ValueError: what is wrong."""
    words = line.split()
    try:
        values = [float(word) for word in words[1:]]
        if not re.fullmatch(r"\d{1,9}(\.0*)?", words[0]):
            raise ValueError
    except ValueError:
        raise ValueError(f"{line.strip()[:60]!r}: expected a class number and numbers in 0..1; correct it") from None
    index = int(words[0].partition(".")[0])
    if index >= names:
        raise ValueError(f"class {index} is unknown: expected 0 to {names - 1}, as many as names in the YAML")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(words)} numbers: expected class, x, y, width and height, or a polygon; correct it")
    if wrong := next((v for v in values if not math.isfinite(v) or not -SLACK <= v <= 1 + SLACK), None):
        raise ValueError(f"{wrong:g} is not in 0..1: expected shares of the picture's sides; divide by them")
    if len(values) == 4:
        x, y, w, h = values
        return index, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    return index, [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
