"""Feature maps of photos, computed once: trainings of captioners and of VQA read them instead of the photos.

The backbone does not change, so its last map is enough. Each photo has two, its own and its mirror image's.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0
from watchline.models.errors import CheckpointError
from watchline.train import looks
from watchline.train.looks import Maps

SIDE = 224  # pixels: the input of the backbone for captioners
STRIDE = 32
BATCH = 16


def pixels_of(file: Path, side: int) -> NDArray[np.uint8]:
    """The photo, stretched to the backbone's input: (side, side, 3) uint8 BGR.

    Raises CheckpointError: the file is not a picture.
    """
    picture = cv2.imread(str(file))
    if picture is None:
        raise CheckpointError(f"{file}: no picture that can be read; the photos of the data set are JPEG files")
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 BGR -> (B, 3, H, W) float32, (RGB - 127) / 128."""
    return (torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() - 127) / 128


def fused(backbone: EfficientNetLite0) -> torch.nn.Module:
    """The backbone up to its last map, with normalisations inside the convolutions: faster, the same function."""
    chain = torch.nn.Sequential(backbone.stem, *backbone.blocks).eval()
    for module in chain.modules():
        if not isinstance(module, torch.nn.Sequential) or module is chain:
            continue
        for i in range(len(module) - 1):
            conv, norm = module[i], module[i + 1]
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(conv, norm), torch.nn.Identity()
    return chain


def _digest(photos: Sequence[Path], side: int) -> str:
    """Of what the maps depend on. Raises CheckpointError: a photo is not there."""
    try:
        lines = [f"{side}", *(f"{photo.absolute()} {photo.stat().st_size}" for photo in photos)]
    except OSError as error:
        raise CheckpointError(f"{error.filename}: {error.strerror}; the data set names this photo") from error
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


@torch.inference_mode()
def cached(photos: Sequence[Path], folder: Path, name: str, tell: Callable[[str], None], side: int = SIDE) -> Maps:
    """The maps of the photos, from a file if they are there: (N, 2, 320, R, R) float16, the second one mirrored.

    An interrupted computation goes on where it was: maps of photos that are not done are zero.

    Args:
        folder, name: where the file is kept, and how its name begins; it goes on with what the maps depend on, so they
            are never those of other photos or of another order.
        tell: hears now and then how far it is.
        side: of the backbone's input in pixels; R is its 32nd part.

    Raises CheckpointError: a photo cannot be read, or the file has other maps.
    """
    file = folder / f"{name}-{_digest(photos, side)}.npy"
    shape = (len(photos), 2, CHANNELS[-1], side // STRIDE, side // STRIDE)
    maps = looks.opened(file, shape)
    network = None
    for i in range(0, len(photos), BATCH):
        if maps[i : i + BATCH, 1].any(axis=(1, 2, 3)).all():
            continue
        network = network or fused(EfficientNetLite0.pretrained())
        pictures = np.stack([pixels_of(photo, side) for photo in photos[i : i + BATCH]])
        for mirrored in (0, 1):
            x = normalised(pictures[:, :, ::-1] if mirrored else pictures)
            maps[i : i + BATCH, mirrored] = network(x).numpy().astype(np.float16)
        if i % (20 * BATCH) == 0:
            maps.flush()
            tell(f"{file.name}: {i} of {len(photos)} photos")
    return maps
