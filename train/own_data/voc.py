"""Reads labels in VOC's layout (streams/layouts/voc.py).

Lists `train.txt` and `val.txt` are the two splits. Without them `trainval.txt`, or else every annotation, is divided.
"""

from pathlib import Path

import numpy as np

from watchline.ops.errors import AnnotationRefused
from watchline.ops.voc_annotation import Annotation, parse
from watchline.streams.layouts import voc
from watchline.train.own_data.labels import TEXT, Labels, Layout, read_bytes, read_text


def is_here(folder: Path) -> bool:
    """Whether a folder has VOC's two folders."""
    return (folder / voc.ANNOTATIONS).is_dir() and (folder / voc.PHOTOS).is_dir()


def read(folder: Path) -> Layout:
    """The labels of a folder. The classes are those of the annotations, by alphabet."""
    layout = Layout()
    lists = voc.lists(folder)
    chosen = next((name for name in ("train", "trainval") if name in lists), None)
    stems = {"train": _listed(lists[chosen], layout) if chosen else voc.annotated(folder)}
    if chosen == "train" and "val" in lists:
        stems["val"] = _listed(lists["val"], layout)
    found = {split: [(stem, _annotation(folder, stem, layout)) for stem in names] for split, names in stems.items()}
    layout.names = tuple(sorted({name for split in found.values() for _, one in split if one for name in one.names}))
    numbers = {name: number for number, name in enumerate(layout.names)}
    read = {
        split: [_labels(folder, stem, one, numbers) for stem, one in ones if one is not None]
        for split, ones in found.items()
    }
    layout.train, layout.val = read["train"], read.get("val")
    return layout


def _listed(file: Path, layout: Layout) -> list[str]:
    """The names in a list."""
    names = voc.names_in(read_text(file, layout.problems) or "")
    layout.problems += [
        f"{file} names {name!r}, which leads out of the folder: expected plain names without a suffix"
        for name in names
        if not voc.is_plain(name)
    ]
    return [name for name in names if voc.is_plain(name)]


def _annotation(folder: Path, stem: str, layout: Layout) -> Annotation | None:
    file = voc.annotation_file(folder, stem)
    content = read_bytes(file, TEXT, layout.problems)
    if content is None:
        return None
    try:
        return parse(content)
    except AnnotationRefused as error:
        layout.problems.append(f"{file} {error}")
        return None


def _labels(folder: Path, stem: str, found: Annotation, numbers: dict[str, int]) -> Labels:
    file = voc.annotation_file(folder, stem)
    return Labels(
        voc.photo_of(folder, stem),
        tuple(f"{file} object {number}" for number in range(1, len(found.names) + 1)),
        found.boxes.astype(np.float64),
        False,
        np.array([numbers[name] for name in found.names], np.int64),
        found.difficult,
        found.size,
    )
