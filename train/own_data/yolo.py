"""Reads labels in YOLO's layout (streams/layouts/yolo.py): a `data.yaml`, and a text file of boxes for each picture.

The YAML has `names` (a list, or a mapping from numbers), and `train` and `val`: folders, lists of pictures, or several
of them. A picture without a label file has no object. Boxes in `unsure` count neither as objects nor as background.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from watchline.export import labels as class_names
from watchline.export.errors import ExportRefused
from watchline.streams.layouts import yolo
from watchline.train.own_data.labels import Labels, Layout, read_text, table

SLACK = 0.02  # share of a side by which a number may be outside 0..1; `dataset` clips such boxes
NOT_LABELS = ("classes.txt", "notes.txt", "readme.txt")  # files that labelling tools put next to labels


def read(file: Path) -> Layout:
    """The labels that a `data.yaml` describes."""
    layout = Layout()
    try:
        layout.names = class_names.read(file)
        said = class_names.mapping(file)
    except ExportRefused as error:
        layout.problems.append(str(error))
        return layout
    count = _text(file, said, "nc", "the number of the names", layout)
    if count not in (None, str(len(layout.names))):
        layout.problems.append(
            f"{file}: nc is {count[:20]}, and {len(layout.names)} names are there; correct one of them"
        )
    _text(file, said, "path", "text, the folder of the data", layout)
    roots = yolo.roots_of(file, said)
    splits = yolo.splits_of(said, roots)
    if "train" not in splits:
        layout.problems.append(f"{file}: it has no `train`, and {roots[0]} has no folder images; name the pictures")
        return layout
    val = next((name for name in yolo.VAL if name in splits), None)
    layout.train = _split(file, roots, splits, "train", layout)
    layout.val = None if val is None else _split(file, roots, splits, val, layout)
    return layout


def _text(file: Path, said: Mapping[str, Any], key: str, expected: str, layout: Layout) -> str | None:
    """The text under a key. None if there is none, with a line in the problems if there is something else."""
    value = said.get(key)
    if value is None or isinstance(value, str):
        return value
    layout.problems.append(f"{file}: {key} is {_kind(value)}: expected {expected}; correct it")
    return None


def _kind(value: object) -> str:
    """What stands instead of text. Never its content: aliases make a few lines of YAML larger than any memory."""
    return "a list" if isinstance(value, list) else "a mapping"


def _split(file: Path, roots: Sequence[Path], splits: Mapping[str, Any], split: str, layout: Layout) -> list[Labels]:
    """The labels of a split's pictures, each once."""
    value = splits[split]
    pictures: list[Path] = []
    for name in value if isinstance(value, list) else [value]:
        if not isinstance(name, str):
            within = "has" if isinstance(value, list) else "is"
            layout.problems.append(
                f"{file}: {split} {within} {_kind(name)}: expected a folder, or a list of pictures; correct it"
            )
            continue
        path = yolo.found(name, roots)
        if path is not None and path.is_dir():
            pictures += _of_folder(path, layout)
        elif path is not None and path.suffix == ".txt":
            pictures += yolo.photos_listed(read_text(path, layout.problems) or "", path, roots)
        else:
            layout.problems.append(
                f"{roots[0] / name}: it is missing: expected what {file} names as {split}; correct the path"
            )
    return [_labels(picture, layout) for picture in dict.fromkeys(pictures)]


def _of_folder(folder: Path, layout: Layout) -> list[Path]:
    """The pictures in a folder and below it. A label file without a picture is a problem."""
    found = yolo.photos_in(folder)
    known = {yolo.label_file(path) for path in found}
    folders = {yolo.label_file(folder / "any").parent, *(file.parent for file in known)}
    for labels in sorted(folders - {path.parent for path in found} - {folder}):
        orphans = {file for file in labels.glob("*.txt") if file.name.lower() not in NOT_LABELS} - known
        layout.problems += [
            f"{file}: it has no picture in {folder}: expected one with its name; add the picture, or remove the labels"
            for file in sorted(orphans)
        ]
    return found


def _labels(picture: Path, layout: Layout) -> Labels:
    found: list[tuple[str, int, list[float], bool]] = []
    sure, unsure = (yolo.label_file(picture, folder) for folder in (yolo.LABELS, yolo.UNSURE))
    for file in dict.fromkeys((sure, unsure)):  # one file if no folder is called images
        text = read_text(file, layout.problems) if file.is_file() else ""
        for number, line in enumerate((text or "").splitlines(), 1):
            if not line.strip():
                continue
            row = f"{file} line {number}"
            try:
                found.append((row, *yolo.row(line, len(layout.names), SLACK), file != sure))
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
