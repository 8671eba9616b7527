"""Labelled pictures in a few files, small enough to send: everything a training needs where the data sets are not.

A part is an .npz without pickles: JPEGs one after the other, and the boxes of all pictures in one table.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from watchline.models.errors import DatasetError
from watchline.train.pictures import Picture


def write(pictures: Iterable[Picture], folder: Path, most: int) -> Iterator[Path]:
    """Write parts of at most `most` bytes; names each when it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    part: list[Picture] = []
    size = number = 0
    for picture in pictures:
        mine = picture.jpeg.nbytes + 64 + 32 * len(picture.boxes)
        if part and size + mine > most - 4096:
            yield _write(part, folder / f"part-{number:02}.npz")
            part, size, number = [], 0, number + 1
        part.append(picture)
        size += mine
    if part:
        yield _write(part, folder / f"part-{number:02}.npz")


def _write(part: Sequence[Picture], file: Path) -> Path:
    np.savez(
        file,
        jpeg=np.concatenate([p.jpeg for p in part]),
        bytes=np.array([len(p.jpeg) for p in part]),
        count=np.array([len(p.boxes) for p in part]),
        boxes=np.concatenate([p.boxes for p in part]),
        classes=np.concatenate([p.classes for p in part]).astype(np.uint8),
        sure=np.concatenate([p.sure for p in part]),
        ignore=np.concatenate([p.ignore for p in part]),
        open=np.stack([p.open for p in part]),
        group=np.array([p.group for p in part], np.uint8),
        squashed=np.array([p.squashed for p in part], np.float32),
        often=np.array([p.often for p in part], np.float32),
    )
    return file


def read(files: Iterable[Path]) -> list[Picture]:
    """The pictures of all parts. Raises DatasetError: a file is no part."""
    pictures = []
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as found:
                part = {name: found[name] for name in found.files}
            jpegs = np.split(part["jpeg"], np.cumsum(part["bytes"])[:-1])
            ends = np.cumsum(part["count"])[:-1]
            columns = [np.split(part[name], ends) for name in ("boxes", "classes", "sure", "ignore")]
            about = (part[name] for name in ("open", "group", "squashed", "often"))
            for jpeg, boxes, classes, sure, ignore, opened, group, squashed, often in zip(
                jpegs, *columns, *about, strict=True
            ):
                pictures.append(
                    Picture(
                        jpeg,
                        boxes,
                        classes.astype(np.int64),
                        sure,
                        ignore,
                        opened,
                        int(group),
                        float(squashed),
                        float(often),
                    )
                )
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{file} is missing or no part that `watchline.train.pack` wrote: {error}") from error
    return pictures
