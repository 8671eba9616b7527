"""Equal constants are stored once: a loop that is unrolled uses the same weights in every step."""

import onnx
from onnx import numpy_helper


def merge(model: onnx.ModelProto) -> None:
    """Let all nodes use the first of constants that are equal, and remove the others."""
    graph = model.graph
    first: dict[tuple[object, ...], str] = {}
    same: dict[str, str] = {}
    outputs = {output.name for output in graph.output}
    for constant in graph.initializer:
        key = constant.data_type, *constant.dims, numpy_helper.to_array(constant).tobytes()
        if constant.name not in outputs and first.setdefault(key, constant.name) != constant.name:
            same[constant.name] = first[key]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
    kept = [constant for constant in graph.initializer if constant.name not in same]
    del graph.initializer[:]
    graph.initializer.extend(kept)
