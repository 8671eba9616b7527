"""Which nodes of a graph are layers of the network, in contrast to the preparation before and the decoding after them.

Layers can bear coarse numbers: what has constant weights, and what lies between two of these and only carries, joins,
pools or bends numbers. Boxes in pixels, anchors, exponentials, TopK, suppression and the grids of GridSample cannot,
even where a second stage with weights of its own comes behind them.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from watchline.export.errors import ExportRefused

FEWEST = 64  # numbers in a weight; with less it is arithmetic written as a convolution (the mean of a histogram)

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""With a constant as their second input."""

CARRIERS = frozenset(
    "Reshape Transpose Flatten Squeeze Unsqueeze Slice Split Identity Dropout DepthToSpace SpaceToDepth MaxPool".split()
)
"""Give numbers that they were given, and no others."""

JOINS = frozenset({"Add", "Sub", "Mul", "Div", "Concat"})
"""Take data from all of their inputs; the others here take it from the first alone."""

BENDS = frozenset(
    "Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Tanh Softplus Mish Elu Selu Gelu "
    "AveragePool GlobalAveragePool GlobalMaxPool Resize Pad BatchNormalization".split()
)

BETWEEN = CARRIERS | JOINS | BENDS
"""What may lie between two weighted layers."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Nodes by the name of their first output.

    Attributes:
        weighted: with constant weights.
        between: on a way from one weighted layer to another that has nothing but such nodes.
    """

    weighted: frozenset[str]
    between: frozenset[str]

    def __contains__(self, node: onnx.NodeProto) -> bool:
        return node.output[0] in self.weighted or node.output[0] in self.between


def find(graph: onnx.GraphProto, without: frozenset[str] = frozenset()) -> Layers:
    """The layers of a graph that was `prepared`; nodes `without` do not count.

    Raises:
        ExportRefused: there are none.
    """
    sizes = {
        tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT
    }
    weighted = {node.output[0] for node in graph.node if _is_weighted(node, sizes)} - without
    if not weighted:
        raise ExportRefused(
            "the model has no convolution or matrix product with constant weights in FP32; "
            "expected a network that is neither FP16 nor INT8 yet"
        )
    after: set[str] = set()  # tensors that come from a weighted layer
    for node in graph.node:
        comes = node.op_type in BETWEEN and not after.isdisjoint(data_inputs(node))
        if comes or node.output[0] in weighted:
            after.update(node.output)
    before: set[str] = set()  # tensors that go into one
    between = set()
    for node in reversed(graph.node):
        if node.output[0] in weighted:
            before.add(node.input[0])
        elif node.op_type in BETWEEN and not before.isdisjoint(node.output):
            before.update(data_inputs(node))
            if node.output[0] in after:
                between.add(node.output[0])
    return Layers(frozenset(weighted), frozenset(between))


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """Names of the inputs that carry a picture's numbers, not weights, shapes, limits, or the scales of a Resize."""
    return [name for name in node.input if name] if node.op_type in JOINS else list(node.input[:1])


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose constants are all initializers, in the type that they are used in.

    Constant nodes become initializers, and so do weights that are stored as FP16 and cast in the graph, and those that
    are another one by a second name.

    Raises:
        ExportRefused: there are graphs inside the graph, where a tensor's type cannot be changed from outside.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    if inner := {node.op_type for node in graph.node for part in node.attribute if part.HasField("g")}:
        raise ExportRefused(
            f"the model has {', '.join(sorted(inner))} nodes, which choose at run time what to compute; "
            "expected none for FP16 and INT8: keep --precision fp32, or export the model without them"
        )
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        tensor = _constant(node)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type in ("Cast", "Identity") and node.input[0] in weights:
            weights[node.output[0]] = _renamed(weights[node.input[0]], node)
            graph.initializer.append(weights[node.output[0]])
            graph.node.remove(node)
    drop_unused(graph)
    return copy


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove initializers that nothing uses."""
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _constant(node: onnx.NodeProto) -> TensorProto:
    [attribute] = node.attribute
    value = helper.get_attribute_value(attribute)
    match attribute.name:
        case "value":
            tensor: TensorProto = attribute.t
            return tensor
        case "value_float" | "value_floats":
            return numpy_helper.from_array(np.asarray(value, np.float32))
        case "value_int" | "value_ints":
            return numpy_helper.from_array(np.asarray(value, np.int64))
        case kind:
            raise ExportRefused(f"the model has a constant of the kind {kind}; expected numbers: keep --precision fp32")


def _renamed(weight: TensorProto, node: onnx.NodeProto) -> TensorProto:
    """What a Cast or an Identity makes of a constant."""
    values = numpy_helper.to_array(weight)
    if node.op_type == "Cast":
        values = values.astype(helper.tensor_dtype_to_np_dtype(node.attribute[0].i))
    return numpy_helper.from_array(values, node.output[0])


def _is_weighted(node: onnx.NodeProto, sizes: dict[str, int]) -> bool:
    """Args: sizes, how many numbers each constant in FP32 has."""
    return node.op_type in WEIGHTED and node.input[0] not in sizes and sizes.get(node.input[1], 0) >= FEWEST
