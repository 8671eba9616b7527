"""Models with one mistake, for tests that must find it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def scaled(source: Path, target: Path, weight: str, factor: float) -> Path:
    """A copy of a model in which the numbers of one weight are multiplied."""
    model = onnx.load(source)
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == weight]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), weight))
    onnx.save(model, target)
    return target


def said_otherwise(source: Path, target: Path, **properties: str) -> Path:
    """A copy of a model with other metadata."""
    model = onnx.load(source)
    for prop in model.metadata_props:
        prop.value = properties.get(prop.key.removeprefix("watchline."), prop.value)
    onnx.save(model, target)
    return target


def renamed(source: Path, target: Path) -> Path:
    """A copy of a model whose inner tensors have other names."""
    model = onnx.load(source)
    kept = {value.name for value in (*model.graph.input, *model.graph.output, *model.graph.initializer)}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in kept or not name else f"other_{name}" for name in names]
    del model.graph.value_info[:]
    onnx.save(model, target)
    return target


def noise(count: int, side: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures (side, side, 3) uint8 BGR of coarse noise, in which random networks detect something."""
    rng = np.random.default_rng(seed)
    return [
        np.kron(rng.integers(0, 256, (side // 8, side // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for _ in range(count)
    ]
