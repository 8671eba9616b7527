"""What of a training's pictures is computed once and kept: maps of a frozen network, from which its heads learn.

The network does not change, so every look at a picture (a crop, a window, a region) needs one pass only. Proposals are
kept in the same way. All is in a file, in half precision; a computation that was interrupted continues where it
stopped.
"""

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.export.pytorch.smaller import fuse
from watchline.models.errors import CheckpointError, DatasetError
from watchline.streams.errors import SourceUnreadable
from watchline.streams.photo import read_photo
from watchline.train.mixed import autocast
from watchline.train.own_data.dataset import PictureFile

Maps = NDArray[np.float16]
File = np.memmap[tuple[int, ...], np.dtype[np.float16]]
N = TypeVar("N", bound=nn.Module)
EVERY = 200  # pictures between lines


def quick(model: N) -> N:
    """A copy for use alone, four times as fast on a CPU with matrix units for bfloat16: see `autocast`."""
    mine = copy.deepcopy(model).eval()
    fuse(mine)
    return mine.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # not in its stubs


def opened(file: Path, shape: tuple[int, ...]) -> File:
    """The array of a file, which is made with zeros if it is not there.

    Raises:
        CheckpointError: the file cannot be used, or its array has another shape.
    """
    try:
        if not file.exists():
            np.lib.format.open_memmap(file, "w+", np.float16, shape).flush()
            try:
                with file.open("r+b") as there:  # a full disk is an error here, not a signal later
                    os.posix_fallocate(there.fileno(), 0, file.stat().st_size)
            except OSError:
                file.unlink()
                raise
        maps: File = np.lib.format.open_memmap(file, "r+")
        if maps.shape != shape:
            raise ValueError(f"its array has the shape {maps.shape}, not {shape}")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be used ({error}): delete it, or take another folder") from error
    return maps


@torch.inference_mode()
def cached(
    files: Sequence[PictureFile],
    shape: tuple[int, ...],
    maps_of: Callable[[int, NDArray[np.uint8]], Tensor],
    folder: Path,
    about: str,
    tell: Callable[[str], None],
) -> Maps:
    """The maps of all pictures, (N, *shape) float16.

    Args:
        files: the pictures.
        shape: of the maps of one picture.
        maps_of: from a picture's number and its pixels (H, W, 3) uint8 BGR to its maps, of which the last is not 0.
        folder: where the file is kept; its name says what the maps depend on.
        about: what they depend on in addition to the pictures.
        tell: hears now and then how far it is.

    Raises:
        CheckpointError: the file cannot be used.
        DatasetError: a picture cannot be read.
    """
    names = "\n".join([about, *(f"{one.path.absolute()} {one.path.stat().st_size}" for one in files)])
    file = folder / f"maps-{hashlib.sha256(names.encode()).hexdigest()[:12]}.npy"
    maps = opened(file, (len(files), *shape))
    for number, one in enumerate(files):
        if maps[number, -1].any():
            continue
        try:
            pixels = read_photo(one.path).pixels
        except SourceUnreadable as error:
            raise DatasetError(str(error)) from error
        with autocast(torch.device("cpu")):
            maps[number] = maps_of(number, pixels).float().numpy().astype(np.float16)
        if number % EVERY == 0:
            maps.flush()
            tell(f"{file.name}: {number} of {len(files)} pictures")
    return maps
