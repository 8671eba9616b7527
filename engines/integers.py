"""Does a runtime compute the INT8 layers of a model rightly on this CPU?

x86 CPUs without VNNI multiply uint8 by int8 with `vpmaddubsw`, which adds the products of two neighbouring input
channels and saturates at 16 bits, and no runtime says so. What `watchline export` writes has weights whose sums fit;
those of its first version, and of most other tools, do not, and cost the shipped detector 0.13 of its mAP there. So
before a model with INT8 layers is run, a small convolution whose sums are as large as the model's own is computed by
the same runtime and looked at.

    exact = all(is_exact(kind, run) for kind in sums(model.graph))
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

log = logging.getLogger(__name__)

AS_FLOATS = "INT8 as floating point"
"""What `Engine.runtime` says where a model's integers are computed as the floating-point numbers they stand for."""

LARGEST = 254  # sum of two int8 weights that are told apart; two of -128 saturate no more than that
CHANNELS = 16  # of the probe: two of the blocks of 4 and 8 that kernels have
LEVELS: dict[int, int] = {TensorProto.UINT8: 250, TensorProto.INT8: 125}
"""The exact sum in steps of the probe's output, so that it comes out exactly, and what is lost shows as a step."""

WITH_FLOATS = frozenset({"Conv", "Gemm", "MatMul"})
"""Layers that runtimes compute in INT8 where Q/DQ nodes stand around them."""
WEIGHT_INPUT = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "ConvInteger": 1, "MatMulInteger": 1}
"""Layers with integer inputs of their own, and which of these is the weight."""
KEEP_NUMBERS = frozenset("QuantizeLinear Transpose Reshape Squeeze Unsqueeze Flatten Identity Cast MaxPool".split())
"""What may stand between a layer and the DequantizeLinear of its input or its weight."""

Run = Callable[[onnx.ModelProto, NDArray[np.float32]], NDArray[np.float32]]
"""Computes a model with the input `x` by a runtime, set as an engine sets it."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the INT8 layers of a model add up, as far as kernels differ in it.

    Attributes:
        activation: TensorProto.UINT8 or INT8.
        weight: likewise.
        largest: of the sums of two neighbouring weights, 1 to LARGEST in size; LARGEST for uint8.
    """

    activation: int
    weight: int
    largest: int


WIDEST = Sums(TensorProto.UINT8, TensorProto.INT8, LARGEST)
EXACT = "exact"
SATURATES = (
    "sums of 8-bit products saturate at 16 bits: models of `watchline export` are made for it, others are computed in "
    "floating point"
)


def sums(graph: onnx.GraphProto) -> frozenset[Sums]:
    """Of an ONNX graph's INT8 layers, but for depthwise ones, which runtimes sum up in 32 bits.

    A layer whose weights are stored in a way that is not understood counts as the widest.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    whole = [node for node in graph.node if node.op_type == "Constant" and node.output and node.attribute]
    constants |= {node.output[0]: node.attribute[0].t for node in whole}
    makers = {name: node for node in graph.node for name in node.output}
    kinds: dict[tuple[int, int], int] = {}
    for node in graph.node:
        try:
            if (found := _integer_layer(node, constants, makers)) is None:
                continue
            activation, weight = found
            dtype, most = _largest(node, weight) if weight is not None else (int(TensorProto.INT8), LARGEST)
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
        ):  # broken: runtimes say how
            continue
        if most:
            kinds[activation, dtype] = max(kinds.get((activation, dtype), 0), most)
    return frozenset(Sums(activation, weight, most) for (activation, weight), most in kinds.items())


def largest_sum(weight: NDArray[Any], axis: int) -> int:
    """The largest sum, in size, of two int8 weights that may be neighbours along the axis of the input channels.

    Neighbours are channels 0 and 1, 2 and 3, and so on. Where their number is odd, a kernel may pair any two.
    """
    whole = np.asarray(weight, np.int64)
    sizes = pair_sums(whole, axis) if whole.shape[axis] % 2 == 0 else 2 * whole
    return min(int(np.abs(sizes).max(initial=0)), LARGEST)


def pair_sums(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """The sums of each two neighbours along an axis of even length."""
    even, odd = (np.take(weight, range(first, weight.shape[axis], 2), axis) for first in (0, 1))
    return np.asarray(even + odd)


def is_exact(kind: Sums, run: Run) -> bool:
    """Whether a runtime computes such sums exactly, for any input."""
    found = run(_probe(kind), np.ones((1, CHANNELS, 4, 4), np.float32))
    levels = LEVELS[kind.activation]
    return bool(np.abs(found * levels - levels).max() < 0.5)


def can_be_floats(graph: onnx.GraphProto) -> bool:
    """Whether all INT8 layers are written with Q/DQ nodes, which can be computed in floating point as well."""
    return not any(node.op_type in WEIGHT_INPUT for node in graph.node)


@cache  # once for all workers of a process
def warn(where: str, runtime: str) -> None:
    """Tell that a model is computed in floating point."""
    log.warning(
        "%s: its INT8 weights would saturate in %s on this CPU, so they are computed in floating point: right, and "
        "slower than FP32; for speed export it again for this runtime, or take FP32",
        where,
        runtime,
    )


def _integer_layer(
    node: onnx.NodeProto, constants: dict[str, TensorProto], makers: dict[str, onnx.NodeProto]
) -> tuple[int, TensorProto | None] | None:
    """The type of a layer's activation, and its weight if it is a constant behind at most a DequantizeLinear.

    None if it is no layer with integers.
    """
    if node.op_type in WEIGHT_INPUT:
        place = WEIGHT_INPUT[node.op_type]
        zero = node.input[2] if len(node.input) > 2 else ""  # of the activation, in all of them
        return _type_of(zero, constants), constants.get(node.input[place])
    if node.op_type not in WITH_FLOATS:
        return None
    activation, weight = (_dequantised(name, makers) for name in node.input[:2])
    if activation is None or weight is None:
        return None
    dtype = _type_of(activation.input[2] if len(activation.input) > 2 else "", constants)
    return dtype, constants.get(weight.input[0]) if weight.output[0] == node.input[1] else None


def _dequantised(name: str, makers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The DequantizeLinear that a tensor comes from."""
    node = makers.get(name)
    while node is not None and node.op_type in KEEP_NUMBERS:
        node = makers.get(node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _type_of(zero: str, constants: dict[str, TensorProto]) -> int:
    return constants[zero].data_type if zero in constants else int(TensorProto.UINT8)


def _largest(node: onnx.NodeProto, weight: TensorProto) -> tuple[int, int]:
    """The type of a weight, and the largest sum of two of its neighbours; 0 if nothing is summed up."""
    values = numpy_helper.to_array(weight)
    attributes = {part.name: part.i for part in node.attribute}
    if "Conv" in node.op_type:
        axis = 1
        if values.shape[1] == 1 and attributes.get("group", 1) == values.shape[0]:
            return weight.data_type, 0
    else:
        axis = 1 if attributes.get("transB") else values.ndim - 2
    if weight.data_type != TensorProto.INT8:
        return weight.data_type, LARGEST
    return weight.data_type, largest_sum(values, axis)


def _probe(kind: Sums) -> onnx.ModelProto:
    """A convolution 1x1 of `x` (1, CHANNELS, 4, 4), of which ones give ones.

    Its weights are pairs with the sum that is asked for, in two orders: those that a kernel with other neighbours
    would add up to more.
    """
    first = min(127, kind.largest)
    second = kind.largest - first
    rows = np.array([[first, second, first, second], [first, second, second, first]])
    weight = np.tile(rows, (CHANNELS // 2, CHANNELS // 4))[..., None, None]  # (output, input, 1, 1)
    activations, weights = (helper.tensor_dtype_to_np_dtype(dtype) for dtype in (kind.activation, kind.weight))
    offset = 128 if kind.weight == TensorProto.UINT8 else 0
    constants = {
        "x/step": np.asarray(1 / np.iinfo(activations).max, np.float32),
        "x/zero": np.zeros((), activations),
        "w": (weight + offset).astype(weights),
        "w/step": np.full(CHANNELS, 1 / weight[0].sum(), np.float32),
        "w/zero": np.full(CHANNELS, offset, weights),
        "b": np.zeros(CHANNELS, np.float32),
        "y/step": np.asarray(1 / LEVELS[kind.activation], np.float32),
        "y/zero": np.zeros((), activations),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x/step", "x/zero"], ["x/int"]),
        helper.make_node("DequantizeLinear", ["x/int", "x/step", "x/zero"], ["x/float"]),
        helper.make_node("DequantizeLinear", ["w", "w/step", "w/zero"], ["w/float"], axis=0),
        helper.make_node("Conv", ["x/float", "w/float", "b"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "y/step", "y/zero"], ["y/int"]),
        helper.make_node("DequantizeLinear", ["y/int", "y/step", "y/zero"], ["sums"]),
    ]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 4, 4])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [1, CHANNELS, 4, 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
