"""Tiny third-party ONNX detectors: random convolutions whose outputs have the form of a family.

A map of stride s is one convolution of kernel and stride s. It is reshaped with a batch of one in the graph, as
exporters do. `raw` runs such a file on one picture, so a test can decode its outputs itself.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from watchline import engines
from watchline.export.surgery import Graph, Value

Batch = NDArray[np.uint8]
Truth = tuple[NDArray[Any], NDArray[Any]]  # boxes (N, 4), scores (N, C) of one picture


class ThirdParty:
    """A third-party network under construction.

    Args:
        size: (width, height), None for free sides and batch.
        scale: of the pixels, so that outputs are about 1 for any range of the pixels.
        dtype: of the input.
        name: of the input.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = (64, 64),
        scale: float = 1.0,
        dtype: type = np.float32,
        name: str = "input",
        layout: str = "NCHW",
    ) -> None:
        self.graph, self.size, self.scale, self.dtype = Graph(), size, scale, dtype
        width, height = size or ("w", "h")
        sides = {"N": 1 if size else "n", "C": 3, "H": height, "W": width}
        self.input = self.graph.input(name, dtype, tuple(sides[axis] for axis in layout))
        self.x = self.input if layout == "NCHW" else self.input.cast(np.float32)
        if layout == "NHWC":
            self.x = self.x.transpose(0, 3, 1, 2)
        if layout == "CHW":
            self.x = self.x.reshape(1, 3, height, width)
        self.seed = 0

    def map(self, stride: int, channels: int) -> Value:
        """(B, channels, cells) of the feature map of a stride; a rest at the edge makes a cell."""
        self.seed += 1
        dtype = self.x.dtype
        noise = np.random.default_rng(self.seed)
        weight = noise.normal(0, self.scale / stride, (channels, 3, stride, stride)).astype(dtype)
        bias = noise.normal(0, 0.5, channels).astype(dtype)
        pads = [0, 0, stride - 1, stride - 1]
        grid = self.graph.add("Conv", self.x, weight, bias, strides=[stride, stride], pads=pads)
        return grid.reshape(1 if self.size else 0, channels, -1)

    def rows(self, strides: Sequence[int], channels: int) -> Value:
        """(B, N, channels) of all maps."""
        return self.graph.concat([self.map(stride, channels) for stride in strides], axis=2).transpose(0, 2, 1)

    def sigmoid(self, value: Value) -> Value:
        """1 / (1 + e^-x)."""
        return self.graph.add("Sigmoid", value)

    def outputs(self, rank: int = 3, **values: Value) -> onnx.ModelProto:
        """The model with these outputs, of sizes that are not told; the rank is the first one's."""
        for number, (name, value) in enumerate(values.items()):
            self.graph.output(name, value, tuple(f"size_{number}_{axis}" for axis in range(rank)))
        return self.graph.build()


def save(model: onnx.ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    """Write the model into the folder and return its path."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def pictures(count: int, size: tuple[int, int], seed: int = 0) -> Batch:
    """(count, height, width, 3) noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), np.uint8)


def raw(path: Path, picture: NDArray[Any]) -> list[NDArray[Any]]:
    """What the third-party file gives for its own input of one picture, without the batch axis."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [np.asarray(out[0], np.float64) for out in session.run(None, {session.get_inputs()[0].name: picture})]


def planes(picture: Batch, mean: Any = 0.0, std: Any = 1.0, rgb: bool = False) -> NDArray[np.float32]:
    """(1, 3, H, W) float32 of a picture (H, W, 3) BGR, as (p - mean) / std."""
    channels = picture[..., ::-1] if rgb else picture
    scaled = (channels.astype(np.float64) - np.asarray(mean)) / np.asarray(std)
    return scaled.transpose(2, 0, 1)[None].astype(np.float32)


def check(path: Path, expected: Callable[[Batch], Truth], size: tuple[int, int], runtime: str = "onnxruntime") -> None:
    """Compare an exported file's engine with what a slow decoder says of each picture, in batches of one and three."""
    batch = pictures(3, size)
    with engines.load(path, runtime=runtime, size=size) as engine:
        for some in (batch[:1], batch):
            found = engine.infer(some)
            for i, picture in enumerate(some):
                boxes, scores = expected(picture)
                np.testing.assert_allclose(found["boxes"][i], boxes, atol=1e-3, rtol=1e-3)
                np.testing.assert_allclose(found["scores"][i], scores, atol=1e-5)


def grid(size: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int, int]]:
    """(column, row, stride) of every cell, by plain loops."""
    width, height = size
    return [
        (column, row, stride)
        for stride in strides
        for row in range(-(-height // stride))
        for column in range(-(-width // stride))
    ]
