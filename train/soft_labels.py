"""What a trained segmenter sees in the training pictures, for another one to learn from: distillation.

Its probabilities say which classes a pixel could be taken for (Hinton, Vinyals and Dean, "Distilling the Knowledge in a
Neural Network", 2015). They are the mean over several sizes of the picture and its mirror image, which is better than
one look and too slow in use. A network that learns from its own becomes better than it was (Furlanello et al.,
"Born-Again Neural Networks", 2018).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from watchline.files import replacing
from watchline.models.efficientnet_lite import normalise
from watchline.models.errors import CheckpointError
from watchline.models.fcn_lite import STRIDE, FCNLite
from watchline.train.camvid import Scene
from watchline.train.road_users import corrected

SIZES = (0.8, 1.0, 1.33)  # of the looks, as factors
CELL = 2  # pixels of the picture between the probabilities, in both directions
FULL = 255  # a probability of 1
GROUP = 4  # channels that OpenCV warps at once


@torch.no_grad()
def soft_labels(teacher: FCNLite, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The probabilities of all classes.

    Args:
        teacher: in evaluation mode.
        image: (H, W, 3) uint8 BGR.

    Returns:
        (H/CELL, W/CELL, classes) uint8, in units of 1 / FULL.
    """
    height, width = image.shape[0] // CELL, image.shape[1] // CELL
    total = torch.zeros(teacher.classes, height, width)
    for size in SIZES:
        sides = [max(STRIDE, round(side * size / STRIDE) * STRIDE) for side in image.shape[1::-1]]
        scaled = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
        x = normalise(torch.from_numpy(np.ascontiguousarray(scaled[..., ::-1].transpose(2, 0, 1)))[None])
        for mirrored in (False, True):
            logits = teacher.scored(*teacher.early(x.flip(3) if mirrored else x))
            logits = logits.flip(3) if mirrored else logits
            sized = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
            total += sized.softmax(1)[0]
    mean = total / (2 * len(SIZES))
    return (mean * FULL).round().to(torch.uint8).permute(1, 2, 0).numpy()


def write(file: Path, scenes: Sequence[Scene], teacher: FCNLite) -> None:
    """Write the soft labels of scenes, corrected by their boxes. Raises OSError: the file cannot be written."""
    teacher.eval()
    softs = [
        corrected(soft_labels(teacher, scene.image), scene.boxes / np.float32(CELL), scene.kinds) for scene in scenes
    ]
    with replacing(file) as part, part.open("wb") as complete:
        np.savez_compressed(complete, *softs)


def taught(file: Path, scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes with the soft labels of `file`. Raises CheckpointError: it is broken, or has those of other scenes."""
    try:
        with np.load(file) as found:
            return [replace(scene, soft=found[name]) for scene, name in zip(scenes, found.files, strict=True)]
    except (OSError, ValueError, BadZipFile) as error:
        raise CheckpointError(
            f"{file}: it has no soft labels of these {len(scenes)} pictures; remove it, and it is made anew"
        ) from error


def warped(soft: NDArray[np.uint8], affine: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The probabilities (h, w, classes) moved as `cv2.warpAffine` does; 0 beyond them. Args: size (width, height)."""
    parts = [
        cv2.warpAffine(soft[..., start : start + GROUP], affine, size, flags=cv2.INTER_LINEAR).reshape(*size[::-1], -1)
        for start in range(0, soft.shape[2], GROUP)
    ]
    return np.concatenate([*parts, np.empty((*size[::-1], 0), np.uint8)], axis=2)


def divergence(logits: Tensor, soft: Tensor) -> Tensor:
    """The mean of KL(teacher, student) over the pixels that have probabilities.

    Args:
        logits: (B, C, h, w). soft: (B, C, h, w) uint8, all 0 where there are none.
    """
    sums = soft.sum(1, keepdim=True).float()
    known = sums > FULL / 2  # those at the picture's edge are partly 0
    teacher = soft / sums.clamp(min=1) * known
    log = teacher.clamp(min=1e-6).log() - F.log_softmax(logits, dim=1)
    total: Tensor = (teacher * log).sum() / known.sum().clamp(min=1)
    return total
