"""Numbers of a Darknet .weights file, layer by layer, with batch normalisation folded into each convolution.

The file is a header of 16 bytes, or of 20 from version 0.2 on (how many pictures were seen grew to 64 bits), and then
float32 without any structure: for each [convolutional] in the order of the .cfg its biases; if it is normalised,
scales, means and variances; then the kernels (filters, channels / groups, size, size). So only their number tells
whether the file belongs to the .cfg.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from watchline.export.darknet.cfg import Convolutional
from watchline.export.darknet.layout import Layout
from watchline.export.darknet.text import looks_like
from watchline.export.errors import CheckpointNotFound, CheckpointRefused

EPSILON = float(np.float32(0.000001))  # Darknet divides by sqrt(variance) + this, not by sqrt(variance + this)
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Convolution:
    """`kernel` (filters, channels / groups, size, size) and `bias` (filters,), float32."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


def convolutions(path: Path, plan: Layout) -> Iterator[Convolution]:
    """What each [convolutional] of the plan multiplies with and adds, one at a time so that memory stays small.

    Raises (while iterating; what the file's size shows, before anything is read):
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is no .weights, its floats are more or fewer than the network takes, or some are no
            numbers.
    """
    layers = [(s.layer, s.inputs[0].channels) for s in plan.steps if isinstance(s.layer, Convolutional)]
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise CheckpointNotFound(f"{path}: there is no such file; expected a Darknet .weights") from None
    except OSError as error:
        raise CheckpointRefused(f"{path}: it cannot be read ({error.strerror}); expected a Darknet .weights") from error
    with file:
        _check_size(file, path, plan.name, sum(_floats(layer, channels) for layer, channels in layers))
        for layer, channels in layers:
            yield _read(file, path, layer, channels)


def _floats(layer: Convolutional, channels: int) -> int:
    each = channels // layer.groups * layer.size**2 + (4 if layer.batch_normalize else 1)
    return layer.filters * each


def _check_size(file: BinaryIO, path: Path, cfg: str, floats: int) -> None:
    """Raises CheckpointRefused unless so many floats follow the header; leaves the file at the first of them."""
    head = file.read(64)
    major, minor = struct.unpack("<2i", head[:8]) if len(head) >= 16 else (-1, -1)
    if not (0 <= major < 1000 and 0 <= minor < 1000):  # from here on Darknet takes other versions for ours as well
        kind = looks_like(head) or f"{path.stat().st_size} bytes of something else"
        raise CheckpointRefused(
            f"{path}: it holds {kind}; expected a Darknet .weights (were .cfg and .weights swapped?)"
        )
    header = 20 if major * 10 + minor >= 2 else 16
    got, odd = divmod(path.stat().st_size - header, FLOAT)
    if got != floats or odd:
        less = got < floats
        says = f"{floats - got} floats are missing" if less else f"{got - floats} floats and {odd} bytes are left"
        why = "cut short, or the weights of another .cfg" if less else "the weights of another .cfg"
        raise CheckpointRefused(f"{path}: {says}: it holds {got}, {cfg} takes {floats}; this file is {why}")
    file.seek(header)


def _read(file: BinaryIO, path: Path, layer: Convolutional, channels: int) -> Convolution:
    filters, inputs = layer.filters, channels // layer.groups
    bias = _take(file, path, layer, filters).astype(np.float64)
    factor = np.ones(filters)
    if layer.batch_normalize:
        scale, mean, variance = _take(file, path, layer, 3 * filters).astype(np.float64).reshape(3, filters)
        if variance.min() < 0:
            raise CheckpointRefused(
                f"{path}: a variance of {layer.where} is {variance.min():g}; expected none below 0, "
                "so these are the weights of another .cfg"
            )
        factor = scale / (np.sqrt(variance) + EPSILON)
        bias -= mean * factor
    kernel = _take(file, path, layer, filters * inputs * layer.size**2).reshape(filters, -1)
    folded = (kernel * factor[:, None]).astype(np.float32)  # (filters, inputs * size * size)
    return Convolution(folded.reshape(filters, inputs, layer.size, layer.size), bias.astype(np.float32))


def _take(file: BinaryIO, path: Path, layer: Convolutional, count: int) -> NDArray[np.float32]:
    values = np.fromfile(file, "<f4", count)
    if len(values) < count:
        raise CheckpointRefused(f"{path}: it was cut short while it was read; copy it again")
    if not np.isfinite(values).all():
        broken = np.count_nonzero(~np.isfinite(values))
        raise CheckpointRefused(
            f"{path}: {broken} of {count} numbers of {layer.where} are NaN or infinite; "
            "expected a trained network, this file is broken"
        )
    return values
