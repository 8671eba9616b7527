"""Small detectors with chosen layers, for tests of FP16 and INT8 on each kind of layer."""

from collections.abc import Callable
from typing import Any

import models_onnx
import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.export.surgery import Graph, Value

SIDE = 32
Body = Callable[["Net", Value], Value]


class Net(Graph):
    """A graph with layers of seeded weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)

    def numbers(self, *shape: int) -> NDArray[np.float32]:
        """Weights with which a layer's output is about as large as its input."""
        fan_in = np.prod(shape[1:])
        return self._random.normal(0, fan_in**-0.5, shape).astype(np.float32)

    def conv(self, x: Value, inputs: int, outputs: int, groups: int = 1, bias: bool = True, **more: Any) -> Value:
        """A convolution of 3 x 3."""
        weight = self.numbers(outputs, inputs // groups, 3, 3)
        biases = [self.numbers(outputs, 9)[:, 0]] if bias else []
        return self.add("Conv", x, weight, *biases, pads=[1, 1, 1, 1], group=groups, **more)


def build(body: Body, seed: int = 0) -> onnx.ModelProto:
    """A detector of three classes: `body` makes 16 channels from 8; a last convolution and simple decoding follow."""
    net = Net(seed)
    images = net.input("images", np.uint8, ("batch", SIDE, SIDE, 3))
    x = net.conv(images.cast(np.float32).transpose(0, 3, 1, 2) / 255, 3, 8)
    last = net.conv(body(net, x), 16, 7, strides=[4, 4])  # (B, 7, 8, 8)
    rows = last.reshape(0, 7, -1).transpose(0, 2, 1)  # (B, 64, 7)
    net.output("boxes", rows[..., :4].exp() * 2000, ("batch", 64, 4))
    net.output("scores", net.add("Sigmoid", rows[..., 4:]), ("batch", 64, 3))
    model = net.build()
    metadata.write(model, models_onnx.about(imgsz=SIDE, stride=8))
    return model


def pictures(count: int) -> list[NDArray[np.uint8]]:
    """Batches of one picture of coloured noise."""
    return list(np.random.default_rng(1).integers(0, 256, (count, 1, SIDE, SIDE, 3), np.uint8))
