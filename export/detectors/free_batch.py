"""A third-party network with a batch of any size, where it gives for two pictures what it gives for each alone.

Exporters often write a batch of one into the graph (`Reshape` to (1, 80, -1)). Such places are rewritten.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from watchline.export.detectors.trial import Arrays, PictureInput, close, constants, dims, feeds_of, run
from watchline.export.errors import CheckpointRefused


def with_free_batch(
    model: onnx.ModelProto,
    picture: PictureInput,
    companions: Mapping[str, np.dtype[Any]],
    size: tuple[int, int],
    one: tuple[Arrays, Arrays],
) -> tuple[onnx.ModelProto, PictureInput]:
    """The model with a free batch if that works, else fixed at its own; and its input.

    Args: one, a batch that the model was fed with, and what came out.
    """
    own = picture.batch or 1
    fixed = PictureInput(picture.name, picture.dtype, picture.layout, own, picture.height, picture.width)
    if "N" not in picture.layout:
        return model, fixed
    free = model
    if picture.batch is not None:
        free = onnx.ModelProto()
        free.CopyFrom(model)
        _free(free, own)
    feeds, tried = one
    others = feeds_of(picture, companions, own, size, np.random.default_rng(1))
    try:
        expected = run(model, others, "")
        both = run(free, {name: np.concatenate([feeds[name], others[name]]) for name in feeds}, "")
    except CheckpointRefused:  # it ran with its own batch: this one it cannot
        return model, fixed
    if any(0 in array.shape or array.ndim == 0 for array in tried.values()):
        return model, fixed  # nothing was found in noise, so nothing was compared
    together = {name: (tried[name], expected[name]) for name in tried}
    right = all(
        close(both[name], np.concatenate(pair)) if pair[0].shape[1:] == pair[1].shape[1:] else False
        for name, pair in together.items()
    )
    if not right:
        return model, fixed
    return free, PictureInput(picture.name, picture.dtype, picture.layout, None, picture.height, picture.width)


def _free(model: onnx.ModelProto, own: int) -> None:
    """Rewrite the places where exporters leave the batch's number, in place."""
    graph = model.graph
    inferred = shape_inference.infer_shapes(model).graph
    shapes = {value.name: dims(value) for value in (*inferred.value_info, *inferred.input, *inferred.output)}
    known = constants(graph)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of before
    for number, node in enumerate(graph.node):
        data = shapes.get(node.input[0]) if node.input else None
        if not data or data[0] != own:
            continue
        if node.op_type == "Reshape" and node.input[1] in known:
            target = known[node.input[1]].copy()
            if target.size and target[0] == own and not any(a.name == "allowzero" and a.i for a in node.attribute):
                target[0] = 0  # as many as came in
                _replace(graph, node, 1, target, number)
        elif node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in known:
            scales = _scales(data, known[node.input[3]])
            if scales is not None:
                _replace(graph, node, 2, scales, number)
                del node.input[3]


def _scales(data: list[int | None], sizes: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """The factors that lead to the same sizes; None where they do not for certain."""
    if len(data) != len(sizes) or any(side is None for side in data):
        return None
    before = np.array(data, np.float32)
    scales = np.asarray(sizes / before, np.float32)
    return scales if np.array_equal(np.floor(before * scales), sizes) else None


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, array: NDArray[Any], number: int) -> None:
    name = f"free_batch_{number}"
    graph.initializer.append(numpy_helper.from_array(array, name))
    node.input[place] = name
