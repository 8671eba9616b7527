"""Reads the pictures of a data set into memory, no larger than training needs them, and says before how much they take.

A recipe keeps all its pictures in memory: training decodes each of them once, and a step gathers pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from watchline.models.errors import DatasetError
from watchline.streams.errors import SourceUnreadable
from watchline.streams.photo import read_photo
from watchline.train.own_data.dataset import SHOWN, PictureFile
from watchline.train.pictures import LabelledPicture

QUALITY = 92  # of the JPEGs in memory
PIXEL = 5  # bytes in memory: four at full size, and those of a quarter as many pixels at half size
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # in a container, its own


def scale_of(file: PictureFile, longest: int) -> float:
    """The factor, at most 1, by which a picture is made smaller so that its longer side is `longest` pixels."""
    return min(1.0, longest / max(file.size))


def memory_of(files: Sequence[PictureFile], longest: int) -> int:
    """Bytes that the pictures take in memory while a detector is trained."""
    return sum(round(file.size[0] * file.size[1] * scale_of(file, longest) ** 2) * PIXEL for file in files)


def free_memory(device: str = "cpu") -> int | None:
    """Bytes that a "cuda" device, or this machine, can give to a program; None if it does not say.

    A container's share of the machine counts, where it is less.
    """
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    known = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    if not MEMINFO.exists():
        return None
    known = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    return int(known["MemAvailable"].split()[0]) << 10 if "MemAvailable" in known else None


def _of_container() -> int | None:
    """What is left of the limit of a control group, version 2; None if there is no limit."""
    if not (CGROUP / "memory.max").is_file() or (most := (CGROUP / "memory.max").read_text().strip()) == "max":
        return None
    used = int((CGROUP / "memory.current").read_text())
    known = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    return max(0, int(most) - used + int(known["inactive_file"]))  # cached files that nobody reads are dropped first


def check_memory(needed: int, free: int | None) -> None:
    """Raises DatasetError: the pictures need more bytes than there are."""
    if free is not None and needed > free:
        raise DatasetError(
            f"the pictures need {needed / 2**30:.1f} GiB of memory while they are trained on, and {free / 2**30:.1f} "
            "are free: expected less; train on fewer pictures, or with a smaller --imgsz"
        )


def load(files: Sequence[PictureFile], classes: int, longest: int, workers: int) -> list[LabelledPicture]:
    """Decode the pictures on `workers` threads. A longer side of more than `longest` pixels is made as long as that.

    Raises:
        DatasetError: pictures cannot be decoded; a line for each, SHOWN at most.
    """
    with ThreadPoolExecutor(workers) as pool:
        loaded = list(pool.map(lambda file: _load(file, classes, longest), files))
    if broken := [one for one in loaded if isinstance(one, str)]:
        more = [f"… and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
        raise DatasetError("\n".join([*broken[:SHOWN], *more]))
    return [one for one in loaded if not isinstance(one, str)]


def _load(file: PictureFile, classes: int, longest: int) -> LabelledPicture | str:
    """The picture, or what is wrong with it."""
    try:
        image = read_photo(file.path).pixels
    except SourceUnreadable as error:
        return str(error)
    scale = scale_of(file, longest)
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    ratio = np.array([image.shape[1] / file.size[0], image.shape[0] / file.size[1]] * 2)
    return LabelledPicture(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].reshape(-1),
        (file.boxes * ratio).astype(np.float32),
        file.classes,
        np.ones(len(file.boxes), np.float32),
        file.ignore,
        np.zeros(classes, np.bool_),
        group=0,
    )
