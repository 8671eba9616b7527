"""Does an ONNX graph keep the contract of its task (see engine.py)? And which sizes does it run at?"""

from dataclasses import dataclass

import onnx

from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelRefused, RequestRefused

MAX_SIDE = 4096  # pixels; more is a slip of the hand: no detector here gains from it, and memory grows with the square

OUTPUTS = {"detect": ("boxes", "scores"), "segment": ("classes",)}
"""What a model of each task gives, by name."""

Dim = int | str | None
"""A dimension as the file declares it: a number, the name of a free one, or nothing known."""


@dataclass(frozen=True, slots=True)
class InputShape:
    """The free and the fixed dimensions of the input `images`."""

    batch: Dim
    height: Dim
    width: Dim


def check_graph(graph: onnx.GraphProto, metadata: Metadata, where: str) -> InputShape:
    """The shape of the graph's input, once input and outputs were found to be what the contract says.

    Only what is known without running is checked; CheckedEngine checks the rest on what comes out.

    Raises:
        ModelRefused: naming the input or output that differs, with what it is and what it should be.
    """
    weights = {tensor.name for tensor in graph.initializer}  # files before IR 4 list them among the inputs
    inputs = [value for value in graph.input if value.name not in weights]
    if [value.name for value in inputs] != ["images"]:
        raise ModelRefused(
            f"{where}: its inputs are {_names(inputs)}; expected exactly one, `images` (B, H, W, 3) uint8 BGR. "
            "Rename it and put the pre-processing into the graph (docs/engines.md)"
        )
    batch, height, width, _ = _checked(inputs[0], onnx.TensorProto.UINT8, (None, None, None, 3), where)
    outputs = {value.name: value for value in graph.output}
    if missing := [name for name in OUTPUTS[metadata.task] if name not in outputs]:
        wanted = {
            "detect": "`boxes` (B, N, 4) and `scores` (B, N, C), decoded inside the graph",
            "segment": "`classes` (B, H, W) uint8, a label's number for each pixel",
        }
        raise ModelRefused(
            f"{where}: it has no output `{'` and no output `'.join(missing)}`, but {_names(list(graph.output))}; "
            f"expected {wanted[metadata.task]} (docs/engines.md)"
        )
    if metadata.task == "segment":
        _checked(outputs["classes"], onnx.TensorProto.UINT8, (None, None, None), where)
    else:
        _check_detections(outputs, metadata, where)
    return InputShape(batch, height, width)


def _check_detections(outputs: dict[str, onnx.ValueInfoProto], metadata: Metadata, where: str) -> None:
    boxes = _checked(outputs["boxes"], onnx.TensorProto.FLOAT, (None, None, 4), where)
    classes = len(metadata.labels)
    scores = _checked(outputs["scores"], onnx.TensorProto.FLOAT, (None, None, classes), where, f" ({classes} labels)")
    if isinstance(boxes[1], int) and isinstance(scores[1], int) and boxes[1] != scores[1]:
        raise ModelRefused(f"{where}: `boxes` has {boxes[1]} rows and `scores` {scores[1]}; expected as many of each")


def choose_size(shape: InputShape, metadata: Metadata, asked: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """The (width, height) to load the model for: what is asked for, or the model's own.

    Raises:
        RequestRefused: the size is not positive, no multiple of the stride, too large, or the model has another, fixed.
    """
    if asked is None:
        side = metadata.imgsz
        own = (side if not isinstance(d, int) else d for d in (shape.width, shape.height))
        return next(own), next(own)
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


def _checked(
    value: onnx.ValueInfoProto, dtype: int, expected: tuple[int | None, ...], where: str, why: str = ""
) -> list[Dim]:
    """The declared dimensions, [None, …] when the file declares none. Raises ModelRefused where they differ."""
    tensor = value.type.tensor_type
    wanted = onnx.TensorProto.DataType.Name(dtype).lower()
    if tensor.elem_type != dtype:
        got = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelRefused(f"{where}: `{value.name}` is {got}; expected {wanted}, casts belong inside the graph")
    if not tensor.HasField("shape"):
        return [None] * len(expected)
    dims = [_dim(dim) for dim in tensor.shape.dim]
    differs = len(dims) != len(expected) or any(
        isinstance(dim, int) and want is not None and dim != want for dim, want in zip(dims, expected, strict=True)
    )
    if differs:
        want = ", ".join("any" if n is None else str(n) for n in expected)
        got = ", ".join(map(_show, dims))
        raise ModelRefused(f"{where}: `{value.name}` has the shape ({got}); expected ({want}) {wanted}{why}")
    return dims


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    kind = dim.WhichOneof("value")
    if kind == "dim_value" and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None  # 0 and -1 are what some exporters write for "free"


def _show(dim: Dim) -> str:
    return "any" if dim is None else str(dim)


def _names(values: list[onnx.ValueInfoProto]) -> str:
    return ", ".join(f"`{value.name}`" for value in values) or "none"
