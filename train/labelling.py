"""Labels a folder of photos with detectors, as YOLO's text: sure boxes, and separately those for a person to check.

Each detector sees a photo, its mirror image and four enlarged parts (`teachers.py`), and what they find is merged by
weighted box fusion. A box's score is the mean over the looks of those detectors that know its class.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from watchline.engines.engine import Engine
from watchline.errors import unknown
from watchline.export import labels as class_names
from watchline.files import write_complete
from watchline.models.errors import DatasetError
from watchline.ops.coco import RENAMED
from watchline.streams.errors import SourceUnreadable
from watchline.streams.layouts.yolo import IMAGES, LABELS, UNSURE
from watchline.streams.photo import SUFFIXES, read_photo
from watchline.train.teachers import Image, Labels, Teacher, Teachers, fuse

YAML = "data.yaml"
SHOWN = 8  # classes in a message
SAME = {coco: voc for coco, voc in RENAMED.items() if coco != "truck"}  # which is no other word for a car


@dataclass(frozen=True)
class Thresholds:
    """Attributes:
    sure: a box with this score is a label.
    unsure: one with this score, but not the other, is for a person to look at.
    """

    sure: float = 0.4
    unsure: float = 0.15


def names_of(engines: Sequence[Engine], wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes that detectors know together, or those of them that are wanted. VOC's and COCO's words are one.

    Raises:
        DatasetError: no detector knows a class that is wanted.
    """
    names = list(dict.fromkeys(label for engine in engines for label in engine.metadata.labels))
    known = [name for name in names if SAME.get(name) not in names]
    for name in wanted or ():
        if name not in names and SAME.get(name) not in names:
            raise DatasetError(f"--classes: {unknown('class', name, known)}")
    return tuple(dict.fromkeys(wanted or known))


def teachers_of(engines: Sequence[Engine], names: Sequence[str]) -> Teachers:
    """The detectors for these classes."""
    either = SAME | {SAME[name]: name for name in names if name in SAME}
    return Teachers(tuple(Teacher.of(engine, names, either) for engine in engines))


def label(bgr: Image, teachers: Teachers, least: float) -> Labels:
    """What the detectors find in a picture (H, W, 3), with a score of at least `least`."""
    found = fuse(teachers.look(bgr, closely=True), 0.0)
    know = np.array([[c in teacher.classes for teacher in teachers.members] for c in found.classes.tolist()], bool)
    share = know.reshape(-1, len(teachers.members)).mean(1)
    scores = (found.scores / share).astype(np.float32)  # those who do not know a class did not overlook it
    kept = scores >= least
    return Labels(found.boxes[kept], scores[kept], found.classes[kept])


def photos_in(folder: Path, out: Path) -> list[Path]:
    """The photos in a folder and below it, by name, but for those in `out`.

    Raises:
        DatasetError: there are none, or the labels of two of them would be one file.
    """
    own = out.resolve()
    every = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    # The parent is resolved, not the photo: `out` has links to photos elsewhere.
    found = sorted(path for path in every if not path.parent.resolve().is_relative_to(own))
    if not found:
        raise DatasetError(
            f"{folder}: {'it has no photo' if folder.is_dir() else 'there is no such folder'}; name another"
        )
    if pairs := [(a, b) for a, b in pairwise(found) if a.with_suffix("") == b.with_suffix("")]:
        (first, second), more = pairs[0], len(pairs) - 1
        also = f" ({more} other pair{'s' * (more > 1)} as well)" if more else ""
        raise DatasetError(
            f"{first} and {second}: both would have the labels {_text_file(first, folder)}{also}: expected one photo "
            "of a name; rename one of them"
        )
    return found


def write(
    folder: Path, out: Path, teachers: Teachers, names: Sequence[str], limits: Thresholds
) -> Iterator[list[int] | str]:
    """Label the photos of `folder` into `out`: links in `images`, `labels`, `unsure`, and a data.yaml.

    Photos that have a file in `labels` are not labelled again, and a data.yaml that is there stays as it is.

    Yields:
        of each photo: how many boxes are sure, how many are unsure; nothing of one that was labelled before; or why it
        cannot be read.

    Raises:
        DatasetError: at once if `out` has labels of other classes, or it or the photos cannot be used; later if a file
            cannot be written.
    """
    photos = photos_in(folder, out)
    _begin(out, names)
    return _labelled(photos, folder, out, teachers, limits)


def _begin(out: Path, names: Sequence[str]) -> None:
    """Write the data.yaml, without which the numbers in label files mean nothing, or see that it has these classes."""
    file = out / YAML
    if file.exists():
        if (known := class_names.read(file)) != tuple(names):
            raise DatasetError(
                f"{file}: it has the classes {_some(known)}, not {_some(names)}: the labels that are there would get "
                "other classes; name those in --classes, or name another --out"
            )
        return
    if any((out / LABELS).rglob("*.txt")):
        raise DatasetError(
            f"{file} is missing: it says the classes of the labels there; restore it, or name another --out"
        )
    lines = "".join(f"  {number}: {_quoted(name)}\n" for number, name in enumerate(names))
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_complete(file, f"path: .\ntrain: images\nnames:\n{lines}".encode())


def _labelled(
    photos: Sequence[Path], folder: Path, out: Path, teachers: Teachers, limits: Thresholds
) -> Iterator[list[int] | str]:
    for photo in photos:
        link = out / IMAGES / photo.relative_to(folder)
        files = {kind: out / kind / _text_file(photo, folder) for kind in (UNSURE, LABELS)}
        if files[LABELS].exists():
            yield []
            continue
        try:
            image = read_photo(photo).pixels
        except SourceUnreadable as error:
            yield str(error)
            continue
        found = label(image, teachers, limits.unsure)
        sure = found.scores >= limits.sure
        with _writing(out):
            for path in (link, *files.values()):
                path.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(os.path.relpath(photo.resolve(), link.parent.resolve()))
            for kind, rows in ((UNSURE, ~sure), (LABELS, sure)):  # the last file says that the photo is done
                part = Labels(found.boxes[rows], found.scores[rows], found.classes[rows])
                write_complete(files[kind], text_of(part, (image.shape[1], image.shape[0])).encode())
        yield [int(sure.sum()), int((~sure).sum())]


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """A disk that is full, and the like, in a line."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{out}: it cannot be written ({error.strerror}); make room or give rights, and label again: what is there "
            "is kept"
        ) from error


def _text_file(photo: Path, folder: Path) -> Path:
    """The name of a photo's labels, with the folders that it is in."""
    return photo.relative_to(folder).with_suffix(".txt")


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], "…"] if len(names) > SHOWN else names)


def text_of(labels: Labels, size: tuple[int, int]) -> str:
    """YOLO's text of the boxes in a picture of `size` (width, height): class, middle and sides in shares."""
    sides = np.array(size * 2, np.float64)
    x1, y1, x2, y2 = (np.clip(labels.boxes, 0, sides) / sides).T
    rows = zip(labels.classes.tolist(), (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, strict=True)
    return "".join(f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, x, y, w, h in rows)


def _quoted(name: str) -> str:
    """A name as a YAML scalar that is text whatever it looks like."""
    return "'" + name.replace("'", "''") + "'"
