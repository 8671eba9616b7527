"""Does a runtime compute the INT8 layers of a model rightly on this CPU?

x86 CPUs without VNNI multiply uint8 by int8 with `vpmaddubsw`, which adds the products of two neighbouring input
channels and keeps 16 bits of the sum: what is beyond is cut off, and no runtime says so. What `watchline export` writes
has weights whose sums fit; those of its first version, and of most other tools, do not, and cost the shipped detector
0.13 of its mAP there. So before a model with INT8 layers is run, a small convolution whose sums are as large as the
model's own is computed by the same runtime and looked at.

    exact = all(is_exact(kind, run) for kind in sums(model.graph))
"""

import logging
from collections.abc import Callable, Iterator
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

INTEGER_OPERATORS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})

CHANNELS = 16  # of the probe: two of the blocks of 4 and 8 that kernels have
LEVELS: dict[int, int] = {TensorProto.UINT8: 250, TensorProto.INT8: 125}
"""The exact sum in steps of the probe's output, so that it comes out exactly, and what is cut off shows as a step."""

Run = Callable[[onnx.ModelProto, NDArray[np.float32]], NDArray[np.float32]]
"""Computes a model with the input `x` by a runtime, set as an engine sets it."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the INT8 layers of a model add up, as far as kernels differ in it.

    Attributes:
        activation: TensorProto.UINT8 or INT8.
        weight: likewise.
        largest: of the sums of two neighbouring weights, 0 to 254 in size.
    """

    activation: int
    weight: int
    largest: int


WIDEST = Sums(TensorProto.UINT8, TensorProto.INT8, 254)
EXACT = "exact"
CUT_OFF = (
    "sums of 8-bit products are cut off at 16 bits (no VNNI): models of `watchline export` are made for it, others are "
    "computed in floating point"
)


def sums(graph: onnx.GraphProto) -> frozenset[Sums]:
    """Of a graph's layers with integer weights, but for depthwise ones: these are summed up in 32 bits."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    largest: dict[tuple[int, int], int] = {}
    for node, activation, weight, offset in _integer_layers(graph, constants, makers):
        values = numpy_helper.to_array(weight).astype(np.int64) - offset
        axis = 1 if "Conv" in node.op_type or _is_transposed(node) else values.ndim - 2
        if not ("Conv" in node.op_type and values.shape[axis] == 1):
            kind = activation, weight.data_type
            largest[kind] = max(largest.get(kind, 0), largest_sum(values, axis))
    return frozenset(Sums(activation, weight, most) for (activation, weight), most in largest.items())


def largest_sum(weight: NDArray[Any], axis: int) -> int:
    """The largest sum, in size, of two weights that may be neighbours along the axis of the input channels.

    Neighbours are channels 0 and 1, 2 and 3, and so on. Where their number is odd, a kernel may pair any two.
    """
    if weight.shape[axis] % 2:
        return 2 * int(np.abs(weight).max(initial=0))
    return int(np.abs(pair_sums(weight, axis)).max(initial=0))


def pair_sums(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """The sums of each two neighbours along an axis of even length."""
    even, odd = (np.take(weight, range(first, weight.shape[axis], 2), axis) for first in (0, 1))
    return np.asarray(even + odd)


def is_exact(kind: Sums, run: Run) -> bool:
    """Whether a runtime computes such sums exactly, for any input."""
    found = run(_probe(kind), np.ones((1, CHANNELS, 4, 4), np.float32))
    levels = LEVELS[kind.activation]
    return bool(np.abs(found * levels - levels).max() < 0.5)


def rewritable(graph: onnx.GraphProto) -> bool:
    """Whether all integer layers are written with Q/DQ nodes, which can be computed in floating point as well."""
    return not any(node.op_type in INTEGER_OPERATORS for node in graph.node)


@cache  # once for all workers of a process
def warn(where: str, runtime: str) -> None:
    """Tell that a model is computed in floating point."""
    log.warning(
        "%s: its INT8 weights are too large for the 8-bit products of %s on this CPU, so they are computed in floating "
        "point: right, and slower than FP32; export it again (watchline export … --precision int8) or take FP32",
        where,
        runtime,
    )


def _integer_layers(
    graph: onnx.GraphProto, constants: dict[str, TensorProto], makers: dict[str, onnx.NodeProto]
) -> Iterator[tuple[onnx.NodeProto, int, TensorProto, int]]:
    """Layers with constant integer weights: node, type of the activation, weight, and what stands for 0 in it."""
    for node in graph.node:
        inputs = [*node.input, "", ""]  # zeros may be left out
        match node.op_type:
            case "Conv" | "Gemm" | "MatMul":
                ends = [makers.get(name) for name in node.input[:2]]
                if not all(end is not None and end.op_type == "DequantizeLinear" for end in ends):
                    continue
                (_, _, x_zero), (w, _, w_zero) = ([*end.input, ""][:3] for end in ends if end is not None)
            case "QLinearConv" | "QLinearMatMul":
                _, _, x_zero, w, _, w_zero = inputs[:6]
            case "ConvInteger" | "MatMulInteger":
                _, w, x_zero, w_zero = inputs[:4]
            case _:
                continue
        if w in constants:
            activation = constants[x_zero].data_type if x_zero in constants else TensorProto.UINT8
            offset = int(numpy_helper.to_array(constants[w_zero]).ravel()[0]) if w_zero in constants else 0
            yield node, activation, constants[w], offset


def _is_transposed(node: onnx.NodeProto) -> bool:
    return any(part.name == "transB" and part.i for part in node.attribute)


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
        "w/step": np.full(CHANNELS, 1 / max(weight[0].sum(), 1), np.float32),
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
