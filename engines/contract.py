"""Does an ONNX graph keep the contract of its task (see engine.py)? And which sizes does it run at?"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelRefused, RequestRefused
from watchline.engines.tasks import GIVEN, TASKS, Task, Tensor

MAX_SIDE = 4096  # pixels; more is a slip of the hand: no detector here gains from it, and memory grows with the square

MAX_BATCH = 4096  # pictures at once that a file may have fixed; it is memory that is allocated before anything runs

Dim = int | str | None
"""A dimension as the file declares it: a number, the name of a free one, or nothing known."""


@dataclass(frozen=True, slots=True)
class InputShape:
    """The free and the fixed dimensions of the inputs.

    Attributes:
        batch, height, width: of `images`.
        others: shape of one row of each other input, by name.
    """

    batch: Dim
    height: Dim
    width: Dim
    others: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def check_graph(graph: onnx.GraphProto, metadata: Metadata, where: str) -> InputShape:
    """The shape of the graph's inputs, once inputs and outputs were found to be what the contract says.

    Only what is known without running is checked; CheckedEngine checks the rest on what comes out.

    Raises:
        ModelRefused: naming the input or output that differs, with what it is and what it should be.
    """
    task = TASKS[metadata.task]
    inputs, outputs = named(graph, task.inputs, task.outputs, where)
    images, *others = (checked(inputs[tensor.name], tensor, {}, where) for tensor in task.inputs)
    rows = {tensor.name: _row(tensor, dims, where) for tensor, dims in zip(task.inputs[1:], others, strict=True)}
    _check_outputs(outputs, task, metadata, where)
    batch, height, width, _ = images
    for name, dim, most in (("batch", batch, MAX_BATCH), ("height", height, MAX_SIDE), ("width", width, MAX_SIDE)):
        if isinstance(dim, int) and dim > most:
            raise ModelRefused(f"{where}: the {name} of `images` is {dim}; expected up to {most}")
    return InputShape(batch, height, width, rows)


def named(
    graph: onnx.GraphProto, inputs: Sequence[Tensor], outputs: Sequence[Tensor], where: str
) -> tuple[dict[str, onnx.ValueInfoProto], dict[str, onnx.ValueInfoProto]]:
    """The inputs and the outputs of a graph by name. Raises ModelRefused: they are not those that are wanted."""
    weights = {tensor.name for tensor in graph.initializer}  # files before IR 4 list them among the inputs
    takes = {value.name: value for value in graph.input if value.name not in weights}
    if takes.keys() != {tensor.name for tensor in inputs}:
        wanted = ", ".join(map(str, inputs))
        raise ModelRefused(
            f"{where}: its inputs are {_names(takes)}; expected exactly {_count(inputs)}, {wanted}. "
            "Rename it and put the pre-processing into the graph (docs/engines.md)"
        )
    gives = {value.name: value for value in graph.output}
    if missing := [tensor.name for tensor in outputs if tensor.name not in gives]:
        raise ModelRefused(
            f"{where}: it has no output `{'` and no output `'.join(missing)}`, but {_names(gives)}; "
            f"expected {' and '.join(map(str, outputs))} (docs/engines.md)"
        )
    return takes, gives


def _check_outputs(outputs: Mapping[str, onnx.ValueInfoProto], task: Task, metadata: Metadata, where: str) -> None:
    labels = {"C": len(metadata.labels)}
    first: dict[str, tuple[str, int]] = {}  # letter -> the first output with a number for it, and the number
    for tensor in task.outputs:
        dims = checked(outputs[tensor.name], tensor, labels, where)
        for letter, dim in zip(tensor.shape, dims, strict=True):
            if isinstance(letter, str) and letter not in GIVEN and isinstance(dim, int):
                name, rows = first.setdefault(letter, (tensor.name, dim))
                if rows != dim:
                    raise ModelRefused(
                        f"{where}: `{name}` has {rows} rows and `{tensor.name}` {dim}; expected as many of each"
                    )


def _row(tensor: Tensor, dims: list[Dim], where: str) -> tuple[int, ...]:
    """The shape of one row of an input."""
    row = tuple(dim for dim in dims[1:] if isinstance(dim, int))
    if len(row) < len(tensor.shape) - 1:
        got = ", ".join(map(_show, dims))
        raise ModelRefused(
            f"{where}: `{tensor.name}` has the shape ({got}); expected numbers but for the first, which is the batch"
        )
    return row


def choose_size(shape: InputShape, metadata: Metadata, asked: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """The (width, height) to load the model for: what is asked for, or the model's own.

    Raises:
        RequestRefused: the size is not positive, no multiple of the stride, too large, or the model has another, fixed.
    """
    if asked is None:
        width, height = metadata.size
        return (
            shape.width if isinstance(shape.width, int) else width,
            shape.height if isinstance(shape.height, int) else height,
        )
    check_size(asked, metadata.stride, where)
    for given, dim in zip(asked, (shape.width, shape.height), strict=True):
        if isinstance(dim, int) and dim != given:
            fixed = f"{_show(shape.width)} x {_show(shape.height)}"
            raise RequestRefused(
                f"{where}: asked for {asked[0]} x {asked[1]} (width x height), but the model is fixed at {fixed}; "
                "leave the size out or export the model with free height and width"
            )
    if isinstance(shape.width, str) and shape.width == shape.height and asked[0] != asked[1]:
        raise RequestRefused(f"{where}: asked for {asked[0]} x {asked[1]}, but the model takes square pictures only")
    return asked


def check_size(size: tuple[int, int], stride: int, where: str) -> None:
    """Raises RequestRefused unless both sides are multiples of the stride in stride..MAX_SIDE."""
    for name, side in zip(("width", "height"), size, strict=True):
        if not 0 < side <= MAX_SIDE:
            raise RequestRefused(f"{where}: the input's {name} is {side}; expected {stride}..{MAX_SIDE} pixels")
        if side % stride:
            below, above = side // stride * stride, -(-side // stride) * stride
            nearest = f"{below} or {above}" if below else str(above)
            raise RequestRefused(
                f"{where}: the input's {name} is {side}; expected a multiple of {stride}, e.g. {nearest}"
            )


def checked(value: onnx.ValueInfoProto, tensor: Tensor, sizes: Mapping[str, int], where: str) -> list[Dim]:
    """The declared dimensions, [None, …] when the file declares none. Raises ModelRefused where they differ."""
    declared = value.type.tensor_type
    wanted = _type_name(helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)))
    if (got := _type_name(declared.elem_type)) != wanted:
        raise ModelRefused(f"{where}: `{value.name}` is {got}; expected {wanted}, casts belong inside the graph")
    if not declared.HasField("shape"):
        return [None] * len(tensor.shape)
    dims = [_dim(dim) for dim in declared.shape.dim]
    expected = [dim if isinstance(dim, int) else None for dim in tensor.with_sizes(sizes)]
    differs = len(dims) != len(expected) or any(
        isinstance(dim, int) and want is not None and dim != want for dim, want in zip(dims, expected, strict=True)
    )
    if differs:
        want = ", ".join(map(_show, expected))
        shape = ", ".join(map(_show, dims))
        why = f" ({sizes['C']} labels)" if "C" in tensor.shape else ""
        raise ModelRefused(f"{where}: `{value.name}` has the shape ({shape}); expected ({want}) {wanted}{why}")
    return dims


def _type_name(dtype: int) -> str:
    try:
        return str(onnx.TensorProto.DataType.Name(dtype)).lower()
    except ValueError:  # of a later version of ONNX, or of none
        return f"of type {dtype}"


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    kind = dim.WhichOneof("value")
    if kind == "dim_value" and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None  # 0 and -1 are what some exporters write for "free"


def _show(dim: Dim) -> str:
    return "any" if dim is None else str(dim)


def _names(values: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in values) or "none"


def _count(tensors: Sized) -> str:
    return "one" if len(tensors) == 1 else str(len(tensors))
