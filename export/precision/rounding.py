"""Numbers to INT8: the step and zero of a tensor, and the weights of a layer with the bias that makes good for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines.integers import pair_sums

TINY = float(np.finfo(np.float32).tiny)  # a step below has fewer digits
WIDEST = 127  # integers of a weight lie within ±127, so that a weight and its negative are rounded alike
PAIR = 128  # 255 · 128 < 2**15: two neighbours that sum up to more do not fit 16 bits with every input


@dataclass(frozen=True, slots=True)
class QuantStep:
    """How an activation is rounded: number = (integer - zero) · step.

    Attributes:
        step: () float32.
        zero: () uint8 or int8, the type of the integers.
    """

    step: NDArray[np.float32]
    zero: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class RoundedWeight:
    """The weight of a layer, as integers · step.

    Attributes:
        integers: int8 in the weight's shape, within ±WIDEST.
        step: (C,) float32, C output channels.
        axis: of the weight, along which they lie.
        bias: (C,) float32 in place of the layer's own; None to leave that.
    """

    integers: NDArray[np.int8]
    step: NDArray[np.float32]
    axis: int
    bias: NDArray[np.float32] | None

    def numbers(self) -> NDArray[np.float32]:
        """The weight that results."""
        shape = [-1 if axis == self.axis else 1 for axis in range(self.integers.ndim)]
        return np.asarray(self.integers * self.step.reshape(shape), np.float32)


def of_range(low: float, high: float, symmetric: bool) -> QuantStep:
    """The finest step with which low..high, and 0, can be told: int8 about 0 if symmetric, else uint8."""
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        return QuantStep(_step(np.asarray(max(-low, high) / WIDEST)), np.asarray(0, np.int8))
    step = _step(np.asarray((high - low) / 255))
    return QuantStep(step, np.asarray(np.clip(np.round(-low / step), 0, 255), np.uint8))


def of_weight(
    node: onnx.NodeProto,
    constants: Mapping[str, NDArray[Any]],
    means: NDArray[np.float64] | None,
    in_pairs: bool = False,
) -> RoundedWeight:
    """The weight of a Conv, Gemm or MatMul, with a step for each output channel.

    In pairs: x86 CPUs without VNNI multiply by `vpmaddubsw`, which adds the products of two neighbouring input
    channels and saturates at 16 bits. So the step of a channel is made coarser until
    no two neighbours sum up to more than PAIR. That costs half a bit, where weights of seven bits, the usual remedy,
    cost a whole one. Depthwise layers have nothing to add up, and runtimes compute them in 32 bits.

    Rounding moves the mean of each channel of the output, in depthwise layers most; the bias takes that back (Nagel et
    al. 2019, "Data-free quantization through weight equalization and bias correction", with means that were seen
    instead of derived). That was worth 0.017 mAP on our detector.

    Args:
        node: that has the weight as its second input.
        constants: by name.
        means: (C_in,) of the channels of a convolution's input; None where they are not known.
        in_pairs: whether the sums of two neighbours must fit; the layer is depthwise, or `comes_in_pairs`.
    """
    weight = constants[node.input[1]].astype(np.float64)
    axis = _output_axis(node, weight.ndim)
    others = tuple(i for i in range(weight.ndim) if i != axis)
    wanted = np.abs(weight).max(others, keepdims=True) / WIDEST
    if in_pairs and not is_depthwise(node, weight):
        sums = np.abs(pair_sums(weight, _input_axis(node, weight.ndim))).max(others, keepdims=True)
        wanted = np.maximum(wanted, sums / (PAIR - 1))  # - 1: rounding may add a half to each
    step = _step(wanted)
    integers = np.clip(np.round(weight / step), -WIDEST, WIDEST)
    bias = None
    if means is not None:
        own = constants[node.input[2]] if len(node.input) > 2 and node.input[2] else 0.0
        bias = np.asarray(own + _lost(node, weight - integers * step, means), np.float32)
    return RoundedWeight(integers.astype(np.int8), step.ravel(), axis, bias)


def comes_in_pairs(node: onnx.NodeProto, weight: NDArray[Any]) -> bool:
    """Whether each product of a layer has a neighbour: the input channels (of a group) are even in number.

    The three colours are not; a depthwise layer has one channel a group and nothing to add.
    """
    return bool(weight.shape[_input_axis(node, weight.ndim)] % 2 == 0)


def is_depthwise(node: onnx.NodeProto, weight: NDArray[Any]) -> bool:
    """Whether a convolution has one input and one output channel a group, which runtimes sum up in 32 bits."""
    return node.op_type == "Conv" and weight.shape[1] == 1 and _groups(node) == len(weight)


def _groups(node: onnx.NodeProto) -> int:
    return next((int(part.i) for part in node.attribute if part.name == "group"), 1)


def _lost(node: onnx.NodeProto, error: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C_out,), what the error (C_out, C_in / groups, …) of a convolution's weight takes from the mean output."""
    groups = _groups(node)
    each = error.sum(tuple(range(2, error.ndim))).reshape(groups, len(error) // groups, -1)
    return np.asarray((each * means.reshape(groups, 1, -1)).sum(-1).ravel())


def _step(wanted: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 for what is all zero."""
    return np.where(wanted > 0, np.maximum(wanted, TINY), 1).astype(np.float32)


def _output_axis(node: onnx.NodeProto, dims: int) -> int:
    if node.op_type == "Conv":
        return 0
    transposed = any(part.name == "transB" and part.i for part in node.attribute)
    return 0 if transposed else dims - 1


def _input_axis(node: onnx.NodeProto, dims: int) -> int:
    return 1 if _output_axis(node, dims) == 0 else dims - 2
