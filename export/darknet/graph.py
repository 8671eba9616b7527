"""A planned Darknet network as an ONNX graph: uint8 BGR pictures in, boxes and scores out, a node or two for a layer.

Values are called as the layers: "16.convolutional" is what layer 16 gives. The picture's colour order and scale go into
the first convolution. Everything has a fixed shape once height and width are known; shapes that depend on them are
computed from `Shape` nodes, which every runtime folds when it loads.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from watchline.export.darknet.cfg import (
    Avgpool,
    Convolutional,
    Dropout,
    Ending,
    Head,
    Maxpool,
    Region,
    Reorg,
    Route,
    Shortcut,
    Upsample,
    Yolo,
)
from watchline.export.darknet.layout import Plan, Step
from watchline.export.darknet.weights import Convolution
from watchline.export.surgery import IR_VERSION, OPSET


class Graph:
    """The graph that grows. Large weights go straight into the model, so that there is one copy of them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append an operator with one output. Returns: the output's name."""
        self._graph.node.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def split(self, value: str, outputs: Sequence[str], sizes: Sequence[int]) -> list[str]:
        """Cut the last axis into parts."""
        parts = self.ints(f"{outputs[0]}.sizes", sizes)
        self._graph.node.append(helper.make_node("Split", [value, parts], outputs, outputs[0], axis=-1))
        return list(outputs)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Append an initializer. Returns: its name."""
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, name: str, values: Any) -> str:
        """Append a float32 constant."""
        return self.constant(name, np.asarray(values, np.float32))

    def ints(self, name: str, values: Any) -> str:
        """Append an int64 constant."""
        return self.constant(name, np.asarray(values, np.int64))


def build(plan: Plan, weights: Iterator[Convolution]) -> onnx.ModelProto:
    """The network as an ONNX model without metadata.

    Args:
        plan: of the network.
        weights: one for each convolution, in order.
    """
    model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="watchline")
    model.opset_import.add(version=OPSET)
    model.graph.name = "darknet"
    graph = Graph(model)
    width, height = ("width", "height") if plan.free else plan.size
    model.graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", height, width, 3]))
    graph.node("Cast", ["images"], "float", to=TensorProto.FLOAT)  # first, as TensorRT has it of a uint8 input
    values = [graph.node("Transpose", ["float"], "picture", perm=[0, 3, 1, 2])]  # layer -1: (B, 3, H, W)
    found = []
    for index, step in enumerate(plan.steps):
        inputs = [values[read + 1] for read in step.reads]
        name = f"{index}.{type(step.layer).__name__.lower()}"
        if isinstance(step.layer, Head):
            found.append(_decode(graph, name, inputs[0], step, plan))
        values.append(_layer(graph, name, inputs, step, weights))
    boxes, scores = zip(*found, strict=True)
    graph.node("Concat", boxes, "boxes", axis=1)
    graph.node("Concat", scores, "scores", axis=1)
    rows = "candidates" if plan.free else sum(_candidates(step) for step in plan.steps)
    for name, last in (("boxes", 4), ("scores", plan.classes)):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", rows, last]))
    return model


def _candidates(step: Step) -> int:
    cells = step.inputs[0].height * step.inputs[0].width
    return len(step.layer.anchors) * cells if isinstance(step.layer, Head) else 0


def _layer(graph: Graph, name: str, inputs: list[str], step: Step, weights: Iterator[Convolution]) -> str:
    """The name of the layer's output, "" for one that has none."""
    match step.layer:
        case Convolutional() as layer:
            linear = _convolution(graph, name, inputs[0], layer, next(weights), first=step.reads == (-1,))
            return _activate(graph, name, linear, layer.activation)
        case Maxpool() as layer:
            before, after = layer.padding // 2, layer.padding - layer.padding // 2
            pads, kernel = [before, before, after, after], [layer.size] * 2
            return graph.node("MaxPool", inputs, name, kernel_shape=kernel, strides=[layer.stride] * 2, pads=pads)
        case Avgpool():
            return graph.node("GlobalAveragePool", inputs, name)
        case Route() as layer:
            return _route(graph, name, inputs, step, layer)
        case Reorg() as layer:
            return _reorg(graph, name, inputs[0], step, layer.stride)
        case Shortcut() as layer:
            return _shortcut(graph, name, inputs, step, layer)
        case Upsample() as layer:
            scales = graph.floats(f"{name}.scales", [1, 1, layer.stride, layer.stride])
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return graph.node("Resize", [inputs[0], "", scales], name, **how)
        case Dropout():
            return inputs[0]
        case Head() | Ending():
            return ""
    raise AssertionError(f"no node for {type(step.layer).__name__}")


def _convolution(
    graph: Graph, name: str, value: str, layer: Convolutional, weights: Convolution, *, first: bool
) -> str:
    """Before the activation. The first one gets BGR in 0..255 where it was trained with RGB in 0..1."""
    kernel = (weights.kernel[:, ::-1] / np.float64(255)).astype(np.float32) if first else weights.kernel
    return graph.node(
        "Conv",
        [value, graph.constant(f"{name}.kernel", kernel), graph.constant(f"{name}.bias", weights.bias)],
        name if layer.activation == "linear" else f"{name}.linear",
        kernel_shape=[layer.size] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
        group=layer.groups,
    )


def _activate(graph: Graph, name: str, x: str, activation: str) -> str:
    """Darknet's activations, with its constants."""
    match activation:
        case "linear":
            return x
        case "leaky":
            return graph.node("LeakyRelu", [x], name, alpha=0.1)
        case "relie":
            return graph.node("LeakyRelu", [x], name, alpha=0.01)
        case "selu":
            return graph.node("Selu", [x], name, alpha=1.6732, gamma=1.0507)
        case "relu" | "tanh" | "elu":
            return graph.node(activation.capitalize(), [x], name)
        case "logistic":
            return graph.node("Sigmoid", [x], name)
        case "relu6" | "hardtan":
            low, high = (0, 6) if activation == "relu6" else (-1, 1)
            limits = [graph.floats(f"{name}.low", low), graph.floats(f"{name}.high", high)]
            return graph.node("Clip", [x, *limits], name)
        case "loggy":  # 2 / (1 + exp(-x)) - 1
            return graph.node(
                "Tanh", [graph.node("Mul", [x, graph.floats(f"{name}.half", 0.5)], f"{name}.halved")], name
            )
        case "swish":
            return graph.node("Mul", [x, graph.node("Sigmoid", [x], f"{name}.gate")], name)
        case "mish":  # a node of its own from opset 18 on
            soft = graph.node("Softplus", [x], f"{name}.softplus")
            return graph.node("Mul", [x, graph.node("Tanh", [soft], f"{name}.gate")], name)
        case "ramp":  # x (x > 0) + x / 10
            slope = graph.node("Mul", [x, graph.floats(f"{name}.tenth", 0.1)], f"{name}.slope")
            return graph.node("Add", [graph.node("Relu", [x], f"{name}.positive"), slope], name)
    raise AssertionError(f"no node for the activation {activation}")


def _route(graph: Graph, name: str, inputs: list[str], step: Step, layer: Route) -> str:
    parts = []
    for i, (value, shape) in enumerate(zip(inputs, step.inputs, strict=True)):
        count = shape.channels // layer.groups
        if layer.groups > 1:
            value = _channels(graph, f"{name}.part{i}", value, layer.group * count, (layer.group + 1) * count)
        parts.append(value)
    return parts[0] if len(parts) == 1 else graph.node("Concat", parts, name, axis=1)


def _channels(graph: Graph, name: str, value: str, start: int, end: int) -> str:
    bounds = [graph.ints(f"{name}.{key}", [number]) for key, number in (("start", start), ("end", end), ("axis", 1))]
    return graph.node("Slice", [value, *bounds], name)


def _shortcut(graph: Graph, name: str, inputs: list[str], step: Step, layer: Shortcut) -> str:
    """Of two layers with different numbers of channels, only those that both have are added."""
    value, other = inputs
    mine, theirs = (shape.channels for shape in step.inputs)
    if theirs > mine:
        other = _channels(graph, f"{name}.shared", other, 0, mine)
    elif theirs < mine:
        pads = graph.ints(f"{name}.pads", [0, 0, 0, 0, 0, mine - theirs, 0, 0])
        other = graph.node("Pad", [other, pads], f"{name}.padded")
    linear = name if layer.activation == "linear" else f"{name}.linear"
    return _activate(graph, name, graph.node("Add", [value, other], linear), layer.activation)


def _reorg(graph: Graph, name: str, value: str, step: Step, stride: int) -> str:
    """Darknet's reorg, whose input is a buffer that it reads as if its shape were another one.

    It takes the (C, H, W) numbers, in their order, for a picture (C/s², H·s, W·s); of that it does the textbook's
    space-to-depth, and takes the (C, H, W) that comes out for (C·s², H/s, W/s). So pixels of one channel come from
    rows that are far apart, and height and width must be known to find them.
    """
    channels = step.inputs[0].channels
    height, width = _sides(graph, name, value)
    s, inner = graph.ints(f"{name}.stride", [stride]), graph.ints(f"{name}.inner", [channels // stride**2])
    outer, all_ = graph.ints(f"{name}.outer", [channels * stride**2]), graph.ints(f"{name}.all", [0])
    wide = graph.node("Concat", [all_, inner, height, s, width, s], f"{name}.wide", axis=0)
    x = graph.node("Reshape", [value, wide], f"{name}.picture")  # (B, C/s², H, s, W, s)
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[0, 3, 5, 1, 2, 4])  # (B, s, s, C/s², H, W)
    low, narrow = (graph.node("Div", [side, s], f"{side}.divided") for side in (height, width))
    deep = graph.node("Concat", [all_, outer, low, narrow], f"{name}.deep", axis=0)
    return graph.node("Reshape", [x, deep], name)  # (B, C·s², H/s, W/s)


def _sides(graph: Graph, name: str, value: str) -> tuple[str, str]:
    """Height and width of a feature map (B, C, H, W) as tensors of one number."""
    height = graph.node("Shape", [value], f"{name}.height", start=2, end=3)
    return height, graph.node("Shape", [value], f"{name}.width", start=3, end=4)


def _decode(graph: Graph, name: str, value: str, step: Step, plan: Plan) -> tuple[str, str]:
    """Boxes (B, A·h·w, 4) in pixels of the input and scores (B, A·h·w, C) of a head, by name.

    Each cell (i, j) and anchor (w, h) guess a box with the middle (i + σ(x), j + σ(y)) in cells and the size
    (w eˣ, h eʸ), and the score of a class is P(object) · P(class | object).
    """
    head, shape = step.layer, step.inputs[0]
    assert isinstance(head, Head)
    count = len(head.anchors)
    x = graph.node("Reshape", [value, graph.ints(f"{name}.cells", [0, count, 5 + head.classes, -1])], f"{name}.rows")
    x = graph.node("Transpose", [x], f"{name}.guesses", perm=[0, 1, 3, 2])  # (B, A, h·w, 5 + C)
    parts = [f"{name}.{part}" for part in ("xy", "wh", "object", "class")]
    xy, wh, objectness, classes = graph.split(x, parts, [2, 2, 1, head.classes])
    cell = np.array(plan.size) / (shape.width, shape.height)  # pixels
    unit = cell if isinstance(head, Region) else 1  # of the anchors
    half = graph.floats(f"{name}.half_anchors", np.array(head.anchors).reshape(1, count, 1, 2) * unit / 2)
    middle = _middle(graph, name, value, xy, head, cell)
    half_size = graph.node("Mul", [graph.node("Exp", [wh], f"{name}.growth"), half], f"{name}.half_size")
    first = graph.node("Sub", [middle, half_size], f"{name}.top_left")
    last = graph.node("Add", [middle, half_size], f"{name}.bottom_right")
    corners = graph.node("Concat", [first, last], f"{name}.corners", axis=-1)
    boxes = graph.node("Reshape", [corners, graph.ints(f"{name}.box", [0, -1, 4])], f"{name}.boxes")
    softmax = isinstance(head, Region) and head.softmax
    class_given_object = graph.node("Softmax" if softmax else "Sigmoid", [classes], f"{name}.p_class")
    product = graph.node("Mul", [class_given_object, graph.node("Sigmoid", [objectness], f"{name}.p_object")], name)
    return boxes, graph.node("Reshape", [product, graph.ints(f"{name}.score", [0, -1, head.classes])], f"{name}.scores")


def _middle(graph: Graph, name: str, value: str, xy: str, head: Head, cell: NDArray[np.float64]) -> str:
    """The boxes' middles (B, A, h·w, 2) in pixels."""
    offset = graph.node("Sigmoid", [xy], f"{name}.offset")
    if isinstance(head, Yolo) and head.scale_xy != 1:  # s σ - (s - 1) / 2
        offset = graph.node("Mul", [offset, graph.floats(f"{name}.scale_xy", head.scale_xy)], f"{name}.stretched")
        shift = graph.floats(f"{name}.shift", (head.scale_xy - 1) / 2)
        offset = graph.node("Sub", [offset, shift], f"{name}.shifted")
    in_cells = graph.node("Add", [offset, _grid(graph, name, value)], f"{name}.in_cells")
    return graph.node("Mul", [in_cells, graph.floats(f"{name}.cell", cell)], f"{name}.middle")


def _grid(graph: Graph, name: str, value: str) -> str:
    """Column and row of each cell, (h·w, 2) float32."""
    height, width = _sides(graph, name, value)
    size = graph.node("Concat", [height, width], f"{name}.grid_size", axis=0)
    zero, one = graph.ints(f"{name}.zero", 0), graph.ints(f"{name}.one", 1)
    flat = graph.ints(f"{name}.flat", [-1, 1])
    columns = []
    for side, shape in ((width, [1, -1]), (height, [-1, 1])):
        end = graph.node("Squeeze", [side], f"{side}.number")
        line = graph.node("Range", [zero, end, one], f"{side}.line")
        line = graph.node("Reshape", [line, graph.ints(f"{side}.shape", shape)], f"{side}.lines")
        plane = graph.node("Expand", [line, size], f"{side}.plane")  # (h, w)
        columns.append(graph.node("Reshape", [plane, flat], f"{side}.column"))
    pairs = graph.node("Concat", columns, f"{name}.pairs", axis=1)
    return graph.node("Cast", [pairs], f"{name}.grid", to=TensorProto.FLOAT)
