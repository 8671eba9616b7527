"""Packs labelled pictures into a few files, for training on a machine without the data sets.

A packed file is an .npz without pickles: the JPEGs one after another, and the boxes of all pictures in one table.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from watchline.models.errors import DatasetError
from watchline.train.pictures import LabelledPicture


def write(pictures: Iterable[LabelledPicture], folder: Path, most: int) -> Iterator[Path]:
    """Write packed files of at most `most` bytes. Yields the path of each."""
    folder.mkdir(parents=True, exist_ok=True)
    packed: list[LabelledPicture] = []
    size = number = 0
    for picture in pictures:
        mine = picture.jpeg.nbytes + 64 + 32 * len(picture.boxes)
        if packed and size + mine > most - 4096:
            yield _write(packed, folder / f"part-{number:02}.npz")
            packed, size, number = [], 0, number + 1
        packed.append(picture)
        size += mine
    if packed:
        yield _write(packed, folder / f"part-{number:02}.npz")


def _write(packed: Sequence[LabelledPicture], file: Path) -> Path:
    np.savez(
        file,
        jpeg=np.concatenate([p.jpeg for p in packed]),
        bytes=np.array([len(p.jpeg) for p in packed]),
        count=np.array([len(p.boxes) for p in packed]),
        boxes=np.concatenate([p.boxes for p in packed]),
        classes=np.concatenate([p.classes for p in packed]).astype(np.uint8),
        sure=np.concatenate([p.sure for p in packed]),
        ignore=np.concatenate([p.ignore for p in packed]),
        open=np.stack([p.open for p in packed]),
        group=np.array([p.group for p in packed], np.uint8),
        squashed=np.array([p.squashed for p in packed], np.float32),
        often=np.array([p.often for p in packed], np.float32),
        share=np.array([p.share for p in packed], np.float32),
    )
    return file


def read(files: Iterable[Path]) -> list[LabelledPicture]:
    """The pictures of all packed files. Raises DatasetError: a file is not a packed one."""
    pictures = []
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            jpegs = np.split(arrays["jpeg"], np.cumsum(arrays["bytes"])[:-1])
            ends = np.cumsum(arrays["count"])[:-1]
            columns = [np.split(arrays[name], ends) for name in ("boxes", "classes", "sure", "ignore")]
            about = (arrays[name] for name in ("open", "group", "squashed", "often", "share"))
            for jpeg, boxes, classes, sure, ignore, opened, group, squashed, often, share in zip(
                jpegs, *columns, *about, strict=True
            ):
                pictures.append(
                    LabelledPicture(
                        jpeg,
                        boxes,
                        classes.astype(np.int64),
                        sure,
                        ignore,
                        opened,
                        int(group),
                        float(squashed),
                        float(often),
                        float(share),
                    )
                )
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{file} is missing, or not a file of `watchline.train pack`: {error}") from error
    return pictures
