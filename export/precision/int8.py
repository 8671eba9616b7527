"""INT8 after training: a network with explicit Q/DQ nodes, placed as the runtime it is for computes fastest.

    small = quantise(model, pictures, "onnxruntime")

Weights are symmetric and have a step for each output channel (rounding.py); activations have one step each, from what
is seen on pictures (ranges.py). Biases stay in floating point, and so does all that is no layer of the network (see
layers.py): preparation, decoding, and the outputs of the last layers, since a box's size is the exponential of a number
whose steps would show. Layers that rounding hurts most stay as they are (sensitivity.py). For CPUs the sums of two
products fit 16 bits, as x86 without VNNI needs it; layers whose input channels have no neighbours, the first ones with
three colours, stay as they are too.

The forms, called after the runtime that each is for, differ in where values are rounded, and in how:

- "onnxruntime": on every tensor between layers, since it computes in INT8 only what has rounded inputs and outputs, but
  not before a Relu or Clip, which it takes together with the layer before; to uint8 with an offset.
- "openvino": likewise, but not inside of activations, such as x · sigmoid(x), which it too takes together with what is
  before. ONNX Runtime runs this too, and YOLOX-nano twice as slowly as in FP32; the other way round nothing is gained.
- "tensorrt": on the inputs of weighted layers, and on the other input of a sum that follows one, which TensorRT fuses;
  to int8 without offset, at opset 19.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from watchline.engines import metadata
from watchline.engines.tasks import IMAGES
from watchline.export.errors import ExportFailed, ExportRefused
from watchline.export.precision import layers, sensitivity
from watchline.export.precision.layers import CARRIERS, JOINS, Layers, data_inputs
from watchline.export.precision.merged import merge
from watchline.export.precision.ranges import Progress, Range, observe
from watchline.export.precision.rounding import (
    QuantStep,
    RoundedWeight,
    comes_in_pairs,
    is_depthwise,
    of_range,
    of_weight,
)

IR_VERSION = 9  # that came with opset 19
ARITHMETIC = JOINS - {"Concat"} | frozenset(
    "Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Tanh Softplus Mish Elu Selu Gelu".split()
)
"""Number by number."""
FUSED = {"Relu", "Clip"}
"""That ONNX Runtime in INT8 takes together with the layer before."""


def quantise(
    model: onnx.ModelProto,
    batches: Sequence[NDArray[np.uint8]],
    form: str,
    progress: Progress = lambda done, total: None,
) -> onnx.ModelProto:
    """The model with its layers in INT8; same input, outputs and metadata, but for the figures, which were FP32's.

    Args:
        model: in FP32, under the contract of engines.
        batches: (1, H, W, 3) uint8 BGR, pictures like those that the model is for, fitted as its metadata says.
        form: a key of FORMS.
        progress: called with how many pictures were looked at, and of how many.

    Raises:
        ExportRefused: there are no pictures, nothing in the model that INT8 is for, or inputs other than pictures.
        ExportFailed: NaN or infinity comes up in FP32 already, or all layers are hurt by rounding.
    """
    way = FORMS[form]
    small = _at_least(way.opset, layers.prepared(model))
    graph = small.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    if others := [value.name for value in graph.input if value.name not in (IMAGES.name, *weights)]:
        raise ExportRefused(
            f"the model takes `{others[0]}` beside the pictures, and INT8 is fitted to pictures alone; keep it in FP32"
        )
    weighted = layers.find(graph).weighted
    alone = _alone(graph, weights) & weighted if way.on_cpu else frozenset()
    heavy = [node for node in graph.node if node.output[0] in weighted - alone and _in_int8(node, way.on_cpu)]
    if not heavy:
        raise ExportRefused(
            "the model has no layer that INT8 is for there, unless it is in FP16 or INT8 already; keep it as it is"
        )
    found = layers.find(graph, without=alone)
    if (count := graph.input[0].type.tensor_type.shape.dim[0].dim_value) > 1:  # the only batch that it takes
        batches = [np.repeat(batch, count, axis=0) for batch in batches]
    places = way.places(graph, found, _users(graph))
    convolved = {node.input[0]: None for node in heavy if node.op_type == "Conv"}
    ranges, means = observe(small, list(places), list(convolved), batches, progress)
    seen = _shared(graph, found, ranges)
    steps = {name: of_range(values.low, values.high, not way.on_cpu) for name, values in seen.items()}
    rounded = {node.output[0]: of_weight(node, weights, means.get(node.input[0]), way.on_cpu) for node in heavy}
    hurt = sensitivity.hurt(small, heavy, rounded, steps, batches)
    exact: set[str] = set()
    if way.on_cpu:
        exact = _exact(graph, found, {node.input[0] for node in heavy if node.output[0] in hurt})
        hurt |= {node.output[0] for node in heavy if node.input[0] in exact}
    if len(hurt) == len(heavy):
        raise ExportFailed(
            f"none of the {len(heavy)} layers bears INT8: what comes out differs by more than {sensitivity.LIMIT:.0%}; "
            "calibrate on pictures of what the model is for, or keep FP32 or FP16"
        )
    kept = {key: weight for key, weight in rounded.items() if key not in hurt}
    places = way.places(graph, layers.find(graph, without=hurt | alone), _users(graph))
    places = {name: users for name, users in places.items() if name in steps and name not in exact}
    _Rewriting(graph).rewrite(kept, places, steps)
    merge(small)
    about = metadata.from_properties({prop.key: prop.value for prop in small.metadata_props}, "the model")
    metadata.write(small, replace(about, figures={}))
    return small


def _in_int8(node: onnx.NodeProto, on_cpu: bool) -> bool:
    """Whether a weighted layer is computed in INT8: all but ConvTranspose.

    And, on CPUs, but for matrix products without a bias: OpenVINO 2026.4 computes nonsense where one's output is
    rounded again.
    """
    return node.op_type == "Conv" or (node.op_type in ("Gemm", "MatMul") and (len(node.input) > 2 or not on_cpu))


def _alone(graph: onnx.GraphProto, weights: Mapping[str, NDArray[Any]]) -> frozenset[str]:
    """Layers, by their first output, whose products have no neighbour with which their sum could be made to fit.

    These are the first layers, which see three colours. They gain little from INT8, and with weights of seven bits
    they alone cost as much as all other layers together.
    """
    found = (node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in weights)
    return frozenset(
        node.output[0]
        for node in found
        if not (comes_in_pairs(node, weights[node.input[1]]) or is_depthwise(node, weights[node.input[1]]))
    )


Places = dict[str, set[str]]
"""Tensors to round, each with the nodes that take it rounded, by the name of their first output."""


def _users(graph: onnx.GraphProto) -> Places:
    """All tensors."""
    users: Places = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.output[0])
    return users


def _everywhere(graph: onnx.GraphProto, found: Layers, users: Places, whole_activations: bool) -> Places:
    """All that goes into layers, for whoever takes it, but for what goes into and stays inside of activations."""
    constants = {tensor.name for tensor in graph.initializer}
    origins: dict[str, str] = {}  # what an activation gives, and the one tensor that it is computed from
    rounded: Places = {}
    for node in (node for node in graph.node if node in found):
        names = [name for name in data_inputs(node) if name not in constants]
        origin = {origins.get(name, name) for name in names}
        if whole_activations:
            inside = node.op_type in ARITHMETIC and len(origin) == 1
        else:
            inside = node.op_type in FUSED and len(users[names[0]]) == 1
        if inside:
            origins[node.output[0]] = origin.pop()
        else:
            rounded |= {name: users[name] for name in names}
    return rounded


def _exact(graph: onnx.GraphProto, found: Layers, inputs: set[str]) -> set[str]:
    """These inputs of layers, and what they are computed from since the layers before: not to be rounded on the way."""
    exact = set(inputs)
    for node in reversed(graph.node):
        if node.output[0] in found.between and not exact.isdisjoint(node.output):
            exact.update(data_inputs(node))
    return exact


def _at_weights(graph: onnx.GraphProto, found: Layers, users: Places) -> Places:
    """What goes into weighted layers; and of a sum of two, of which one comes straight from such a layer, the other."""
    places: Places = {}
    for node in (node for node in graph.node if node in found):
        if node.output[0] in found.weighted and _in_int8(node, on_cpu=False):
            places.setdefault(node.input[0], set()).add(node.output[0])
        elif node.op_type == "Add" and node.input[0] != node.input[1]:
            straight = [name in found.weighted and len(users[name]) == 1 for name in node.input]
            if any(straight):
                places.setdefault(node.input[1 - straight.index(True)], set()).add(node.output[0])
    return places


@dataclass(frozen=True)
class Form:
    """How values are rounded for a runtime.

    Attributes:
        opset: the least that it needs; 13 is the first with steps for each channel.
        on_cpu: whether sums of two products must fit 16 bits, and activations are uint8.
        places: of a graph, its layers and who takes its tensors, where values are rounded.
    """

    opset: int
    on_cpu: bool
    places: Callable[[onnx.GraphProto, Layers, Places], Places]


FORMS = {
    "onnxruntime": Form(13, True, partial(_everywhere, whole_activations=False)),
    "openvino": Form(13, True, partial(_everywhere, whole_activations=True)),
    "tensorrt": Form(19, False, _at_weights),
}


def _shared(graph: onnx.GraphProto, found: Layers, ranges: dict[str, Range]) -> dict[str, Range]:
    """The ranges, where what only carries numbers gives them as it got them, so that runtimes skip the rounding."""
    shared = dict(ranges)
    for node in graph.node:
        if node in found and node.op_type in CARRIERS and node.input[0] in shared:
            shared |= {name: shared[node.input[0]] for name in node.output if name in shared}
    return shared


class _Rewriting:
    """A graph whose nodes are written anew, each after the Q/DQ nodes of what it takes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._rounded: dict[str, str] = {}  # a tensor's name, and that of its rounded form

    def rewrite(self, weights: dict[str, RoundedWeight], places: Places, steps: dict[str, QuantStep]) -> None:
        """Round weights, by the first output of their layers, and tensors at their places by their steps."""
        for node in list(self._graph.node):
            key = node.output[0]
            for i, name in enumerate(node.input):
                if key in places.get(name, ()):
                    node.input[i] = self._activation(name, steps[name])
            if key in weights:
                self._weight(node, weights[key])
            self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]  # it may speak of the nodes that were there before
        layers.drop_unused(self._graph)

    def _activation(self, name: str, step: QuantStep) -> str:
        if name not in self._rounded:
            parameters = self._parameters(name, step.step, step.zero)
            self._nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}/int8"]))
            self._dequantise(name, parameters)
        return self._rounded[name]

    def _weight(self, node: onnx.NodeProto, weight: RoundedWeight) -> None:
        name = node.input[1]
        if name not in self._rounded:  # several layers may share one
            self._constant(f"{name}/int8", weight.integers)
            parameters = self._parameters(name, weight.step, np.zeros(weight.step.size, np.int8))
            self._dequantise(name, parameters, axis=weight.axis)
        node.input[1] = self._rounded[name]
        if weight.bias is not None:
            node.input[:] = [*node.input[:2], self._constant(f"{node.output[0]}/bias", weight.bias)]

    def _parameters(self, name: str, step: NDArray[np.float32], zero: NDArray[np.generic]) -> list[str]:
        return [self._constant(f"{name}/step", step), self._constant(f"{name}/zero", zero)]

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _dequantise(self, name: str, parameters: Sequence[str], **attributes: Any) -> None:
        self._rounded[name] = f"{name}/rounded"
        node = helper.make_node("DequantizeLinear", [f"{name}/int8", *parameters], [self._rounded[name]], **attributes)
        self._nodes.append(node)


def _at_least(opset: int, model: onnx.ModelProto) -> onnx.ModelProto:
    [own] = [imported for imported in model.opset_import if imported.domain in ("", "ai.onnx")]
    if own.version >= opset:
        return model
    properties = list(model.metadata_props)
    newer = version_converter.convert_version(model, opset)
    newer.ir_version = max(newer.ir_version, IR_VERSION)
    del newer.metadata_props[:]
    newer.metadata_props.extend(properties)
    return newer
