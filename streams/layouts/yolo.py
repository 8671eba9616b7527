"""YOLO's layout: where a `data.yaml` has its photos, where their labels are, and what a row of labels says.

A path of the YAML is relative to `path`, which is relative to the file. A label file has the photo's name, in a folder
`labels` instead of `images`. A row is `class x y width height`, the centre and the sides in shares of the picture; of a
polygon, `class x y x y …`, the extent is the box. Boxes in a folder `unsure`, as `watchline label` writes it, need not
be found, and are not background either.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from watchline.streams.photo import SUFFIXES

YAML = (".yaml", ".yml")
USUAL_YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
IMAGES, LABELS, UNSURE = "images", "labels", "unsure"  # folders
VAL = ("val", "valid", "validation")  # the names of one split
SPLITS = (*VAL, "test", "train")


def yaml_of(folder: Path) -> Path | None:
    """The YAML of a folder, by its usual name or the only one; None if the folder is in another layout."""
    found = sorted(file for file in folder.glob("*") if file.suffix.lower() in YAML)
    named = (folder / name for name in USUAL_YAMLS)
    return next((file for file in named if file in found), found[0] if len(found) == 1 else None)


def roots_of(file: Path, said: Mapping[str, Any]) -> list[Path]:
    """The folders that paths in a YAML may be relative to: its `path`, which may be where it was made, or its own."""
    path = said.get("path")
    return list(dict.fromkeys([file.parent / (path if isinstance(path, str) else ""), file.parent]))


def splits_of(said: Mapping[str, Any], roots: Sequence[Path]) -> dict[str, Any]:
    """What a YAML says of each split.

    Without `train`, that is `images/train`, or else `images`, and a `val` that is not named is `images/val`.
    """
    named = {name: said[name] for name in SPLITS if said.get(name)}
    if "train" in named:
        return named
    val = {} if named.keys() & set(VAL) else {"val": f"{IMAGES}/val"}
    usual = {name: where for name, where in val.items() if found(where, roots)}
    train = next((where for where in (f"{IMAGES}/train", IMAGES) if found(where, roots)), None)
    return named | usual | ({"train": train} if train else {})


def found(where: str, roots: Sequence[Path]) -> Path | None:
    """The folder or list of photos that a YAML names; None if it is not there."""
    names = (where, where.removeprefix("../"))  # Roboflow writes ../valid/images for a folder next to the file
    return next((path for root in roots for name in names if (path := root / name).exists()), None)


def photos_in(folder: Path) -> list[Path]:
    """The photos in a folder and below it, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def photos_listed(text: str, file: Path, roots: Sequence[Path]) -> list[Path]:
    """The photos that a list names, relative to the list or to a root. Args: text, of the list; file, where it is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    near = [file.parent, *roots]
    return [next((p for root in near if (p := root / line).is_file()), file.parent / line) for line in lines]


def label_file(photo: Path, folder: str = LABELS) -> Path:
    """`…/images/val/a.jpg` -> `…/labels/val/a.txt`; without `images` in the path, next to the photo.

    Args:
        photo: its path.
        folder: that stands instead of the last `images`.
    """
    parts = list(photo.parts)
    for number in range(len(parts) - 2, -1, -1):
        if parts[number] == IMAGES:
            parts[number] = folder
            break
    return Path(*parts).with_suffix(".txt")


def row(line: str, classes: int, slack: float) -> tuple[int, list[float]]:
    """Class and box (xyxy in shares of the picture) of a line.

    Args:
        line: with words in it.
        classes: how many there are.
        slack: how far outside of 0..1 a number may be.

    Raises:
        ValueError: what is wrong.
    """
    words = line.split()
    try:
        values = [float(word) for word in words[1:]]
        if not re.fullmatch(r"\d{1,9}(\.0*)?", words[0]):
            raise ValueError
    except ValueError:
        raise ValueError(f"{line.strip()[:60]!r}: expected a class number and numbers in 0..1; correct it") from None
    index = int(words[0].partition(".")[0])
    if index >= classes:
        raise ValueError(f"class {index} is unknown: expected 0 to {classes - 1}, as many as there are names")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"{len(words)} numbers: expected class, x, y, width and height, or a polygon; correct it")
    if wrong := next((v for v in values if not math.isfinite(v) or not -slack <= v <= 1 + slack), None):
        raise ValueError(f"{wrong:g} is not in 0..1: expected shares of the picture's sides; divide by them")
    if len(values) == 4:
        x, y, w, h = values
        return index, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    return index, [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
