"""The cells of a pyramid of feature maps, as NumPy when the input's size is known, else in the graph."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from watchline.export.detectors.family import Build
from watchline.export.surgery import Value


def count(size: tuple[int, int], strides: Sequence[int]) -> list[int]:
    """How many cells each map of an input of (width, height) has; a rest at the edge makes a cell as well."""
    width, height = size
    return [-(-width // stride) * -(-height // stride) for stride in strides]


def cells(build: Build, strides: Sequence[int]) -> tuple[Value, Value]:
    """(N, 2) column and row of every cell, map by map and row by row, and (N, 1) strides; both float32."""
    picture = build.network.picture
    if picture.width is not None and picture.height is not None:
        places, sizes = fixed_cells(build.network.size, strides)
        return build.graph.constant(places), build.graph.constant(sizes)
    graph = build.graph
    height, width = build.images.shape(1, 2)[0], build.images.shape(2, 3)[0]
    places_of_maps, sizes_of_maps = [], []
    for stride in strides:
        rows = (height + (stride - 1)) // stride
        columns = (width + (stride - 1)) // stride
        number = graph.arange(rows * columns).reshape(-1, 1)  # (rows * columns, 1)
        row = number // columns
        place = graph.concat([number - row * columns, row], axis=1).cast(np.float32)
        places_of_maps.append(place)
        sizes_of_maps.append(place[:, :1] * 0.0 + stride)
    return graph.concat(places_of_maps, axis=0), graph.concat(sizes_of_maps, axis=0)


def fixed_cells(size: tuple[int, int], strides: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same for an input of (width, height)."""
    places, sizes = [], []
    for stride, number in zip(strides, count(size, strides), strict=True):
        row, column = np.divmod(np.arange(number), -(-size[0] // stride))
        places.append(np.stack([column, row], axis=1))
        sizes.append(np.full((number, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)
