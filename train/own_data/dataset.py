"""A user's own data set: reads labels in VOC's, COCO's or YOLO's layout, and names all that is wrong before training.

    data = read([Path("data.yaml")])
    data.names, data.train[0].path, data.train[0].boxes, len(data.val)

No picture is decoded: headers tell the sizes. `pictures.load` decodes.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import DatasetError
from watchline.ops.boxes import Boxes
from watchline.streams.errors import SourceUnreadable
from watchline.streams.layouts.coco import splits
from watchline.streams.layouts.penn_fudan import has_masks
from watchline.streams.layouts.yolo import YAML, label_file, yaml_of
from watchline.streams.photo import photo_size
from watchline.train.own_data import coco, penn_fudan, voc, yolo
from watchline.train.own_data.boxes import checked
from watchline.train.own_data.labels import Labels, Layout

SHOWN = 20  # problems that are shown; the others are counted
VAL_SHARE = 0.2  # of the pictures, if the data has no split to measure on
HEAD = 1 << 16  # bytes of a picture by which most that are not copies are distinguished
LAYOUTS = (
    "a folder in VOC's layout (JPEGImages, Annotations), in COCO's (annotations/instances_*.json, or "
    "train/_annotations.coco.json), or a data.yaml with its pictures and labels"
)


@dataclass(frozen=True)
class PictureFile:
    """A picture on the disk, and what is in it.

    Attributes:
        path: of the file.
        size: (width, height) in pixels, upright.
        boxes: (N, 4) float32 xyxy in pixels, half-open, inside the picture, with an area.
        classes: (N,) int64, index into the data set's names.
        ignore: (N,) bool: counts neither as object nor as background.
    """

    path: Path
    size: tuple[int, int]
    boxes: Boxes
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]


@dataclass(frozen=True)
class DataSet:
    """Pictures to train on, others to measure on, and the names of their classes.

    Attributes:
        names: of the classes that `train` has boxes of, in the order of the data.
        train, val: the pictures.
        notes: what a user should know, a line each.
    """

    names: tuple[str, ...]
    train: tuple[PictureFile, ...]
    val: tuple[PictureFile, ...]
    notes: tuple[str, ...]


def read(paths: Sequence[Path], seed: int = 0, measured: bool = True) -> DataSet:
    """Read and check a data set, or several as one: classes of the same name are one class.

    Args:
        paths: folders, or data.yamls.
        seed: of the split, if the data has none.
        measured: False leaves all pictures for training if the data has no split.

    Raises:
        DatasetError: a path is in no known layout, or something is wrong: a line for each mistake, SHOWN at most.
    """
    path = ", ".join(map(str, paths))
    layout = joined([_layout(one) for one in paths])
    problems, notes = list(layout.problems), list(layout.notes)
    clipped: Counter[str] = Counter()
    train, val = (
        [file for labels in split or () if (file := _file(labels, problems, clipped)) is not None]
        for split in (layout.train, layout.val)
    )
    keys = _keys(train + val)
    if layout.val is not None:
        problems += _shared(train, val, keys)
        if not val and not problems:
            problems.append(f"{path}: its split to measure on has no picture; add some, or remove the split")
    if not problems and not any((~file.ignore).any() for file in train):
        problems.append(_nothing(path, layout))
    if problems:
        raise DatasetError(_listed(path, problems))
    if clipped:
        notes.append(
            f"{sum(clipped.values())} boxes reached beyond their picture and were clipped, e.g. {min(clipped)}"
        )
    if layout.val is None and measured:
        train, val = divide(train, keys, seed)
        notes.append(
            f"no split to measure on: {len(val)} of {len(train) + len(val)} pictures were taken for it (seed {seed})"
        )
    return _with_boxes(layout.names, train, val, notes)


def joined(layouts: Sequence[Layout]) -> Layout:
    """Several data sets as one. Those without pictures to measure on are trained on, if others have some."""
    names = tuple(dict.fromkeys(name for layout in layouts for name in layout.names))

    def renumbered(layout: Layout, split: Sequence[Labels]) -> list[Labels]:
        new = np.array([names.index(name) for name in layout.names], np.int64)
        return [replace(labels, classes=new[labels.classes]) for labels in split]

    measured = [renumbered(layout, layout.val) for layout in layouts if layout.val is not None]
    return Layout(
        names,
        [labels for layout in layouts for labels in renumbered(layout, layout.train)],
        [labels for split in measured for labels in split] if measured else None,
        [problem for layout in layouts for problem in layout.problems],
        [note for layout in layouts for note in layout.notes],
    )


def _layout(path: Path) -> Layout:
    if path.is_file() and path.suffix.lower() in YAML:
        return yolo.read(path)
    if path.is_dir():
        if voc.is_here(path):
            return voc.read(path)
        if splits(path):
            return coco.read(path)
        if has_masks(path):
            return penn_fudan.read(path)
        if file := yaml_of(path):
            return yolo.read(file)
        raise DatasetError(f"{path}: not a data set that is known; expected {LAYOUTS}")
    raise DatasetError(f"{path}: {'not a folder' if path.exists() else 'it is missing'}; expected {LAYOUTS}")


def _file(labels: Labels, problems: list[str], clipped: Counter[str]) -> PictureFile | None:
    """The picture with its boxes in pixels; None, and lines in `problems`, if something is wrong."""
    try:
        size = photo_size(labels.picture)
    except SourceUnreadable as error:
        if labels.picture.exists():
            problems.append(str(error))
        else:
            of = f", which {labels.rows[0].split(' ')[0]} labels" if labels.rows else ""
            problems.append(f"{labels.picture}: the picture is missing{of}; add it, or remove its labels")
        return None
    if labels.declared not in (None, size):
        problems.append(
            f"{labels.picture} has {size[0]} x {size[1]} pixels, its labels are of {labels.declared[0]} x "
            f"{labels.declared[1]}: expected the picture that was labelled"
        )
        return None
    boxes, wrong, over = checked(labels.boxes * (size * 2 if labels.shares else 1), size)
    problems += [f"{labels.rows[row]}: {what}" for row, what in wrong]
    clipped.update(labels.rows[row] for row in over)
    return None if wrong else PictureFile(labels.picture, size, boxes, labels.classes, labels.ignore)


def _keys(files: Sequence[PictureFile]) -> dict[Path, object]:
    """What copies of a picture have in common: the size of the file, and its content, of which no more is read than
    distinguishes it from others of its size.
    """
    keys: dict[Path, object] = {file.path: file.path.stat().st_size for file in files}
    for most in (HEAD, -1):
        several = Counter(keys.values())
        for path, key in keys.items():
            if several[key] > 1:
                keys[path] = key, _digest(path, most)
    return keys


def _digest(path: Path, most: int) -> bytes:
    """Of the first `most` bytes of a file, or of all if that is negative."""
    with path.open("rb") as opened:
        return hashlib.blake2b(opened.read(most)).digest()


def _shared(train: Sequence[PictureFile], val: Sequence[PictureFile], keys: dict[Path, object]) -> list[str]:
    learned = {keys[file.path]: file.path for file in train}
    return [
        f"{file.path}: it is {'' if same == file.path else f'a copy of {same}, '}a picture of train too: expected "
        "other pictures to measure on; remove it from one of the two"
        for file in val
        if (same := learned.get(keys[file.path])) is not None
    ]


def divide(
    files: Sequence[PictureFile], keys: dict[Path, object], seed: int
) -> tuple[list[PictureFile], list[PictureFile]]:
    """Take VAL_SHARE of the pictures, at random, to measure on. The same data and seed give the same split.

    Copies of a picture stay together. Every class keeps most of its pictures for training, so one with a single picture
    is not measured.
    """
    groups: dict[object, list[PictureFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        groups.setdefault(keys[file.path], []).append(file)
    left = Counter(c for group in groups.values() for c in _classes(group))
    least = {c: count / 2 for c, count in left.items()}
    order = np.random.default_rng([seed, 1]).permutation(len(groups))
    room, taken = max(1, round(VAL_SHARE * len(files))), set[int]()
    members = list(groups.values())
    for number in order.tolist():
        mine = _classes(members[number])
        if room > 0 and all(left[c] - 1 >= least[c] for c in mine):
            taken.add(number)
            room -= len(members[number])
            left.subtract(mine)
    train, val = ([f for n, group in enumerate(members) if (n in taken) is of for f in group] for of in (False, True))
    return train, val


def _classes(group: Sequence[PictureFile]) -> set[int]:
    return {c for file in group for c in file.classes[~file.ignore].tolist()}


def _with_boxes(
    names: Sequence[str], train: Sequence[PictureFile], val: Sequence[PictureFile], notes: list[str]
) -> DataSet:
    """The data without the classes that no training picture shows: nothing could teach them."""
    taught = _classes(train)
    kept = [number for number in range(len(names)) if number in taught]
    if gone := [name for number, name in enumerate(names) if number not in taught]:
        shown = ", ".join(gone[:8]) + (f" and {len(gone) - 8} more" if len(gone) > 8 else "")
        notes.append(f"left out, as no training picture shows them: {shown}")
    new = np.full(len(names), -1)
    new[kept] = np.arange(len(kept))

    def renumbered(file: PictureFile) -> PictureFile:
        classes = new[file.classes]
        mine = classes >= 0
        return replace(file, boxes=file.boxes[mine], classes=classes[mine], ignore=file.ignore[mine])

    return DataSet(
        tuple(names[number] for number in kept),
        tuple(map(renumbered, train)),
        tuple(map(renumbered, val)),
        tuple(notes),
    )


def _nothing(path: str, layout: Layout) -> str:
    looked = ""
    if layout.train and layout.train[0].shares:
        looked = f"; no box is in {label_file(layout.train[0].picture)}, for example"
    return f"{path}: its {len(layout.train)} training pictures have no boxes at all{looked}; label them first"


def _listed(path: str, problems: Sequence[str]) -> str:
    """The first problems, each in a line, and how many more there are."""
    unique = list(dict.fromkeys(problems))
    more = [f"… and {len(unique) - SHOWN} more"] if len(unique) > SHOWN else []
    count = f"{len(unique)} mistakes" if len(unique) > 1 else "1 mistake"
    return "\n".join([*unique[:SHOWN], *more, f"{path}: {count} in the data, nothing was trained"])
