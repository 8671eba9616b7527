"""FP16: the layers of a network in half the bytes, with the input and the outputs as they were.

Only layers (see layers.py) are in FP16, with casts at their borders. The decoding stays in FP32: FP16 has steps of one
pixel above 1024 and of two above 2048, and its largest number is 65504; so do the preparation, GridSample with its
grids, TopK, and any layer whose constants FP16 does not have.
"""

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from watchline.engines import metadata
from watchline.export.precision import layers
from watchline.export.precision.layers import CARRIERS, Layers
from watchline.export.precision.merged import merge

LARGEST = float(np.finfo(np.float16).max)

SLOW_ON_CPUS = "FP16 is for GPUs: CPUs compute it in FP32 with casts in between, no faster than the FP32 model"
"""What to tell a user who makes an FP16 model for a CPU's runtime."""


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its layers in FP16; same input, outputs and metadata, but for the figures, which were FP32's.

    Args:
        model: in FP32 under the contract of engines. One in INT8 is refused: ONNX Runtime 1.32 takes Q/DQ nodes with
            steps in FP16, and computes nonsense.

    Raises:
        ExportRefused: the model has no layers in FP32, or chooses at run time what to compute.
    """
    small = layers.prepared(model)
    graph = small.graph
    found = layers.find(graph)
    _Rewriting(graph).rewrite(found)
    merge(small)
    about = metadata.from_properties({prop.key: prop.value for prop in small.metadata_props}, "the model")
    metadata.write(small, replace(about, figures={}))
    return small


class _Rewriting:
    """A graph whose nodes are written anew, each after the casts of what it takes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._floats = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if tensor.data_type == TensorProto.FLOAT
        }
        self._outputs = {value.name for value in graph.output}
        self._nodes: list[onnx.NodeProto] = []
        self._halves: set[str] = set()  # tensors in FP16 under their own name
        self._made: set[str] = set()  # casts and constants that were added

    def rewrite(self, found: Layers) -> None:
        """Put the layers that FP16 can hold into FP16."""
        for node in list(self._graph.node):
            if node in found and self._fits(node):
                for i in _float_inputs(node):
                    node.input[i] = self._as_half(node.input[i], node.op_type)
                self._halves.update(node.output)
            else:
                for i, name in enumerate(node.input):
                    if name in self._halves:
                        node.input[i] = self._cast(name, "float", TensorProto.FLOAT)
            self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]  # it says what was FP32
        layers.drop_unused(self._graph)

    def _fits(self, node: onnx.NodeProto) -> bool:
        """Whether FP16 has all constants of the node (the limits of a Clip may be its largest number instead)."""
        names = [node.input[i] for i in _float_inputs(node)]
        constants = [self._floats[name] for name in names if name in self._floats]
        fits = node.op_type == "Clip" or all(np.abs(values).max(initial=0) <= LARGEST for values in constants)
        return fits and self._outputs.isdisjoint(node.output)

    def _as_half(self, name: str, kind: str) -> str:
        if name in self._halves:
            return name
        if name not in self._floats:
            return self._cast(name, "half", TensorProto.FLOAT16)
        constant = f"{name}/half"
        if constant not in self._made:
            self._made.add(constant)
            values = np.clip(self._floats[name], -LARGEST, LARGEST) if kind == "Clip" else self._floats[name]
            self._graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), constant))
        return constant

    def _cast(self, name: str, suffix: str, to: int) -> str:
        cast = f"{name}/{suffix}"
        if cast not in self._made:
            self._made.add(cast)
            self._nodes.append(helper.make_node("Cast", [name], [cast], to=to))
        return cast


def _float_inputs(node: onnx.NodeProto) -> list[int]:
    """Which inputs of a layer are numbers to have in FP16: not shapes, not integers, not the scales of a Resize."""
    match node.op_type:
        case "Pad":
            places = [0, 2]
        case kind if kind in CARRIERS or kind == "Resize":
            places = [0]
        case _:
            places = list(range(len(node.input)))
    return [i for i in places if i < len(node.input) and node.input[i]]
