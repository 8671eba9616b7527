"""Which layers does rounding hurt? Each is computed twice from the same numbers, in FP32 and rounded, and compared.

Small networks have layers in which a few channels reach far and the others carry what matters in a fraction of a step.
One such layer early in YOLOX-nano costs it half of its mAP; left in floating point it costs some speed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from watchline.export.precision.ranges import session
from watchline.export.precision.rounding import QuantStep, RoundedWeight

LIMIT = 0.04  # length of a layer's error by the length of its output; 0.035 is the worst where INT8 costs nothing
PICTURES = 10  # that it is measured on; the ranking hardly changes with more


def hurt(
    model: onnx.ModelProto,
    heavy: Sequence[onnx.NodeProto],
    weights: Mapping[str, RoundedWeight],
    steps: Mapping[str, QuantStep],
    batches: Sequence[NDArray[np.uint8]],
) -> frozenset[str]:
    """The layers whose error is above LIMIT, by the name of their first output.

    Args:
        model: in FP32.
        heavy: layers with weights, of `model`.
        weights: of these, rounded, by the name of their first output.
        steps: of their inputs, by tensor.
        batches: (1, H, W, 3) uint8 BGR.
    """
    return frozenset(name for name, error in errors(model, heavy, weights, steps, batches).items() if error > LIMIT)


def errors(
    model: onnx.ModelProto,
    heavy: Sequence[onnx.NodeProto],
    weights: Mapping[str, RoundedWeight],
    steps: Mapping[str, QuantStep],
    batches: Sequence[NDArray[np.uint8]],
) -> dict[str, float]:
    """By layer, the length (L2) of what rounding its input and its weight changes, by the length of its output."""
    doubled = onnx.ModelProto()
    doubled.CopyFrom(model)
    graph = doubled.graph
    del graph.output[:]
    for name in {node.input[0]: None for node in heavy}:
        parts = [_constant(graph, f"{name}:step", steps[name].step), _constant(graph, f"{name}:zero", steps[name].zero)]
        graph.node.append(helper.make_node("QuantizeLinear", [name, *parts], [f"{name}:int8"]))
        graph.node.append(helper.make_node("DequantizeLinear", [f"{name}:int8", *parts], [f"{name}:rounded"]))
    for node in heavy:
        _double(graph, node, weights[node.output[0]])
    names = [value.name for value in graph.output]
    run = session(doubled)
    sums = sum(np.array(run.run(names, {"images": batch})) for batch in batches[:: -(-len(batches) // PICTURES)])
    squares = dict(zip(names, np.ravel(sums), strict=True))
    return {
        name: float(np.sqrt(squares[f"{name}:error²"] / max(squares[f"{name}:length²"], 1e-30))) for name in weights
    }


def _double(graph: onnx.GraphProto, node: onnx.NodeProto, weight: RoundedWeight) -> None:
    """Add the layer with its input and weight rounded, and the squares of its output and of the difference."""
    name = node.output[0]
    twin = onnx.NodeProto()
    twin.CopyFrom(node)
    twin.name = ""
    bias = [_constant(graph, f"{name}:bias", weight.bias)] if weight.bias is not None else node.input[2:]
    twin.input[:] = [f"{node.input[0]}:rounded", _constant(graph, f"{name}:weight", weight.numbers()), *bias]
    twin.output[:] = [f"{name}:twin"]
    graph.node.append(twin)
    graph.node.append(helper.make_node("Sub", [name, f"{name}:twin"], [f"{name}:error"]))
    for tensor, square in ((f"{name}:error", f"{name}:error²"), (name, f"{name}:length²")):
        graph.node.append(helper.make_node("ReduceSumSquare", [tensor], [square], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(square, TensorProto.FLOAT, []))


def _constant(graph: onnx.GraphProto, name: str, values: NDArray[np.generic]) -> str:
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name
