"""Reads labels in VOC's layout: `JPEGImages`, `Annotations`, and lists in `ImageSets/Main` if there are any.

Lists `train.txt` and `val.txt` are the two splits. Without them `trainval.txt`, or else every annotation, is divided.
"""

from pathlib import Path

import numpy as np

from watchline.ops.errors import AnnotationRefused
from watchline.ops.voc_annotation import Annotation, parse
from watchline.streams.photo import SUFFIXES
from watchline.train.own_data.labels import TEXT, Labels, Layout, read_bytes, read_text

USUAL = (".jpg", ".jpeg", ".png", ".JPG")  # tried before all others


def is_voc(folder: Path) -> bool:
    """Whether a folder has VOC's two folders."""
    return (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()


def read(folder: Path) -> Layout:
    """The labels of a folder. The classes are those of the annotations, by alphabet."""
    layout = Layout()
    lists = folder / "ImageSets" / "Main"
    chosen = next((name for name in ("train", "trainval") if (lists / f"{name}.txt").is_file()), None)
    stems = {"train": _listed(lists / f"{chosen}.txt", layout) if chosen else _all(folder)}
    if chosen == "train" and (lists / "val.txt").is_file():
        stems["val"] = _listed(lists / "val.txt", layout)
    found = {split: [(stem, _annotation(folder, stem, layout)) for stem in names] for split, names in stems.items()}
    layout.names = tuple(sorted({name for split in found.values() for _, one in split if one for name in one.names}))
    numbers = {name: number for number, name in enumerate(layout.names)}
    read = {
        split: [_labels(folder, stem, one, numbers) for stem, one in ones if one is not None]
        for split, ones in found.items()
    }
    layout.train, layout.val = read["train"], read.get("val")
    return layout


def _all(folder: Path) -> list[str]:
    return sorted(file.stem for file in (folder / "Annotations").glob("*.xml"))


def _listed(file: Path, layout: Layout) -> list[str]:
    """The names in a list, each once. A second word, 1 or -1 in the lists of a class, does not count."""
    lines = (read_text(file, layout.problems) or "").splitlines()
    names = list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    plain = [name for name in names if Path(name).name == name]
    layout.problems += [
        f"{file} names {name!r}, which leads out of the folder: expected plain names without a suffix"
        for name in names
        if name not in plain
    ]
    return plain


def _annotation(folder: Path, stem: str, layout: Layout) -> Annotation | None:
    file = folder / "Annotations" / f"{stem}.xml"
    content = read_bytes(file, TEXT, layout.problems)
    if content is None:
        return None
    try:
        return parse(content)
    except AnnotationRefused as error:
        layout.problems.append(f"{file} {error}")
        return None


def _labels(folder: Path, stem: str, found: Annotation, numbers: dict[str, int]) -> Labels:
    file = folder / "Annotations" / f"{stem}.xml"
    return Labels(
        _photo(folder / "JPEGImages", stem),
        tuple(f"{file} object {number}" for number in range(1, len(found.names) + 1)),
        found.boxes.astype(np.float64),
        False,
        np.array([numbers[name] for name in found.names], np.int64),
        found.difficult,
        found.size,
    )


def _photo(folder: Path, stem: str) -> Path:
    """The photo with this name, whatever its suffix; the usual name if there is none."""
    known = (folder / f"{stem}{suffix}" for suffix in (*USUAL, *sorted(SUFFIXES)))
    return next((path for path in known if path.is_file()), folder / f"{stem}.jpg")
