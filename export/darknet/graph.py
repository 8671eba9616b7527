"""A planned Darknet network as an ONNX graph: uint8 BGR pictures in, boxes and scores out, a node or two for a layer.

Values are called as the layers: "16.convolutional" is what layer 16 gives. The picture's colour order and scale go into
the first convolution. Everything has a fixed shape once height and width are known; shapes that depend on them are
computed from `Shape` nodes, which every runtime folds when it loads.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.export.darknet.cfg import (
    Avgpool,
    Convolutional,
    DetectionHead,
    Dropout,
    Ending,
    Maxpool,
    Region,
    Reorg,
    Route,
    Shortcut,
    Upsample,
    Yolo,
)
from watchline.export.darknet.layout import LayerStep, Layout
from watchline.export.darknet.weights import Convolution
from watchline.export.surgery import Graph, Value


def build(layout: Layout, weights: Iterator[Convolution]) -> onnx.ModelProto:
    """The network as an ONNX model without metadata.

    Args:
        layout: of the network.
        weights: one for each convolution, in order.
    """
    graph = Graph()
    width, height = ("width", "height") if layout.free else layout.size
    images = graph.input("images", np.uint8, ("batch", height, width, 3))
    values = [images.cast(np.float32).transpose(0, 3, 1, 2)]  # layer -1: (B, 3, H, W)
    found = []
    for index, step in enumerate(layout.steps):
        inputs = [values[read + 1] for read in step.reads]
        name = f"{index}.{type(step.layer).__name__.lower()}"
        with graph.scope(name):
            if isinstance(step.layer, DetectionHead):
                found.append(_decode(name, inputs[0], step, layout))
            values.append(_layer(name, inputs, step, weights))
    boxes, scores = zip(*found, strict=True)
    rows = "candidates" if layout.free else sum(_candidates(step) for step in layout.steps)
    graph.output("boxes", graph.concat(list(boxes), axis=1), ("batch", rows, 4))
    graph.output("scores", graph.concat(list(scores), axis=1), ("batch", rows, layout.classes))
    return graph.build()


def _candidates(step: LayerStep) -> int:
    cells = step.inputs[0].height * step.inputs[0].width
    return len(step.layer.anchors) * cells if isinstance(step.layer, DetectionHead) else 0


def _layer(name: str, inputs: list[Value], step: LayerStep, weights: Iterator[Convolution]) -> Value:
    """The output of a layer. No other layer reads that of a head."""
    x = inputs[0]
    match step.layer:
        case Convolutional() as layer:
            linear = _convolution(name, x, layer, next(weights), first=step.reads == (-1,))
            return _activate(name, linear, layer.activation)
        case Maxpool() as layer:
            before, after = layer.padding // 2, layer.padding - layer.padding // 2
            pads, kernel = [before, before, after, after], [layer.size] * 2
            return x.graph.add("MaxPool", x, kernel_shape=kernel, strides=[layer.stride] * 2, pads=pads).named(name)
        case Avgpool():
            return x.graph.add("GlobalAveragePool", x).named(name)
        case Route() as layer:
            return _route(name, inputs, step, layer)
        case Reorg() as layer:
            return _reorg(x, step, layer.stride).named(name)
        case Shortcut() as layer:
            return _shortcut(name, inputs, step, layer)
        case Upsample() as layer:
            scales = np.array([1, 1, layer.stride, layer.stride], np.float32)
            return x.graph.add(
                "Resize",
                x,
                None,
                scales,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ).named(name)
        case Dropout() | DetectionHead() | Ending():
            return x
    raise AssertionError(f"no node for {type(step.layer).__name__}")


def _convolution(name: str, x: Value, layer: Convolutional, weights: Convolution, *, first: bool) -> Value:
    """Before the activation. The first one gets BGR in 0..255 where it was trained with RGB in 0..1."""
    kernel = (weights.kernel[:, ::-1] / np.float64(255)).astype(np.float32) if first else weights.kernel
    return x.graph.add(
        "Conv",
        x,
        x.graph.constant(kernel, f"{name}.kernel"),
        x.graph.constant(weights.bias, f"{name}.bias"),
        kernel_shape=[layer.size] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
        group=layer.groups,
    ).named(name if layer.activation == "linear" else f"{name}.linear")


def _activate(name: str, x: Value, activation: str) -> Value:
    """Darknet's activations, with its constants."""
    if activation == "linear":
        return x
    return _activated(x, activation).named(name)


def _activated(x: Value, activation: str) -> Value:
    add = x.graph.add
    match activation:
        case "leaky":
            return add("LeakyRelu", x, alpha=0.1)
        case "relie":
            return add("LeakyRelu", x, alpha=0.01)
        case "selu":
            return add("Selu", x, alpha=1.6732, gamma=1.0507)
        case "relu" | "tanh" | "elu":
            return add(activation.capitalize(), x)
        case "logistic":
            return x.sigmoid()
        case "relu6" | "hardtan":
            low, high = (0, 6) if activation == "relu6" else (-1, 1)
            return add("Clip", x, np.array(low, np.float32), np.array(high, np.float32))
        case "loggy":  # 2 / (1 + exp(-x)) - 1
            return add("Tanh", x * 0.5)
        case "swish":
            return x * x.sigmoid()
        case "mish":  # a node of its own from opset 18 on
            return x * add("Tanh", add("Softplus", x))
        case "ramp":  # x (x > 0) + x / 10
            return add("Relu", x) + x * 0.1
    raise AssertionError(f"no node for the activation {activation}")


def _route(name: str, inputs: list[Value], step: LayerStep, layer: Route) -> Value:
    parts = []
    for value, shape in zip(inputs, step.inputs, strict=True):
        count = shape.channels // layer.groups
        parts.append(value if layer.groups == 1 else value[:, layer.group * count : (layer.group + 1) * count])
    return parts[0] if len(parts) == 1 else parts[0].graph.concat(parts, axis=1).named(name)


def _shortcut(name: str, inputs: list[Value], step: LayerStep, layer: Shortcut) -> Value:
    """Of two layers with different numbers of channels, only those that both have are added."""
    value, other = inputs
    mine, theirs = (shape.channels for shape in step.inputs)
    if theirs > mine:
        other = other[:, 0:mine]
    elif theirs < mine:
        other = value.graph.add("Pad", other, np.array([0, 0, 0, 0, 0, mine - theirs, 0, 0]))
    linear = (value + other).named(name if layer.activation == "linear" else f"{name}.linear")
    return _activate(name, linear, layer.activation)


def _reorg(value: Value, step: LayerStep, stride: int) -> Value:
    """Darknet's reorg, whose input is a buffer that it reads as if its shape were another one.

    It takes the (C, H, W) numbers, in their order, for a picture (C/s², H·s, W·s); of that it does the textbook's
    space-to-depth, and takes the (C, H, W) that comes out for (C·s², H/s, W/s). So pixels of one channel come from
    rows that are far apart, and height and width must be known to find them.
    """
    graph, channels = value.graph, step.inputs[0].channels
    height, width = value.shape(2, 3), value.shape(3, 4)
    all_, s, inner, outer = (
        graph.constant(np.array([number])) for number in (0, stride, channels // stride**2, channels * stride**2)
    )
    wide = graph.concat([all_, inner, height, s, width, s], axis=0)
    x = graph.add("Reshape", value, wide)  # (B, C/s², H, s, W, s)
    x = x.transpose(0, 3, 5, 1, 2, 4)  # (B, s, s, C/s², H, W)
    deep = graph.concat([all_, outer, height // stride, width // stride], axis=0)
    return graph.add("Reshape", x, deep)  # (B, C·s², H/s, W/s)


def _decode(name: str, value: Value, step: LayerStep, layout: Layout) -> tuple[Value, Value]:
    """Boxes (B, A·h·w, 4) in pixels of the input and scores (B, A·h·w, C) of a head.

    Each cell (i, j) and anchor (w, h) guess a box with the middle (i + σ(x), j + σ(y)) in cells and the size
    (w eˣ, h eʸ), and the score of a class is P(object) · P(class | object). With `new_coords`, the sigmoids are in the
    convolution before, and the size is (w (2x)², h (2y)²).
    """
    head, shape = step.layer, step.inputs[0]
    assert isinstance(head, DetectionHead)
    count = len(head.anchors)
    guesses = value.reshape(0, count, 5 + head.classes, -1).transpose(0, 1, 3, 2)  # (B, A, h·w, 5 + C)
    xy, wh, objectness, classes = guesses.split(xy=2, wh=2, object=1, classes=head.classes)
    cell = np.array(layout.size) / (shape.width, shape.height)  # pixels
    unit = cell if isinstance(head, Region) else 1  # of the anchors
    new = isinstance(head, Yolo) and head.new_coords
    sides = wh * wh * 4 if new else wh.exp()
    half = sides * (np.array(head.anchors).reshape(1, count, 1, 2) * unit / 2)
    middle = _middle(name, value, xy, head, cell)
    boxes = value.graph.concat([middle - half, middle + half], axis=-1).reshape(0, -1, 4)
    softmax = isinstance(head, Region) and head.softmax
    if not new:
        classes = (classes.softmax() if softmax else classes.sigmoid()).named(f"{name}/p_class")
        objectness = objectness.sigmoid().named(f"{name}/p_object")
    return boxes, (classes * objectness).named(name).reshape(0, -1, head.classes)


def _middle(name: str, value: Value, xy: Value, head: DetectionHead, cell: NDArray[np.float64]) -> Value:
    """The boxes' middles (B, A, h·w, 2) in pixels."""
    new = isinstance(head, Yolo) and head.new_coords
    offset = xy if new else xy.sigmoid().named(f"{name}/offset")
    if isinstance(head, Yolo) and head.scale_xy != 1:  # s σ - (s - 1) / 2
        offset = offset * head.scale_xy - (head.scale_xy - 1) / 2
    return (offset + _grid(value)) * cell


def _grid(value: Value) -> Value:
    """Column and row of each cell, (h·w, 2) float32."""
    graph = value.graph
    height, width = value.shape(2, 3), value.shape(3, 4)
    size = graph.concat([height, width], axis=0)
    columns = [
        graph.add("Expand", graph.arange(side[0]).reshape(*shape), size).reshape(-1, 1)  # (h, w), then (h·w, 1)
        for side, shape in ((width, (1, -1)), (height, (-1, 1)))
    ]
    return graph.concat(columns, axis=1).cast(np.float32)
