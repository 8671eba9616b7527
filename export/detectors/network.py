"""A stranger's ONNX, opened safely and made ready to build on: at our opset, with a free batch where it can have one.

Nothing in the file is believed before it was tried: the network runs once in ONNX Runtime on noise, and shapes are
those that came out. Exporters often write a batch of one into the graph (`Reshape` to (1, 80, -1)); such places are
rewritten, and the batch is free only if two pictures at once then give what each gives alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference, version_converter

from watchline.engines import metadata
from watchline.engines.checked import first_line
from watchline.engines.contract import MAX_SIDE
from watchline.engines.errors import ModelNotFound, ModelRefused
from watchline.engines.tasks import SLACK
from watchline.export.class_names import read_literal
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused
from watchline.export.surgery import IR_VERSION, OPSET, sort_nodes

SIDE = 640  # of the square input that a file with free sides is tried at, where it names none itself
MOST_BYTES = 2**31 - 1  # that a protobuf, and so an ONNX in one piece, can have
FLOATS = (np.dtype(np.float32), np.dtype(np.float16))
MOST_PICTURES = 256  # of a fixed batch; a file that claims more would have us allocate whatever it likes
MASK = "pixel_mask"  # which pixels are picture: a second input of DETR's exports; all are, as ours are stretched
SILENT = 4  # errors come as exceptions; the runtime's own print of them would say all twice
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class PictureInput:
    """The input of a network that takes the picture. None is a dimension that the file leaves free.

    Attributes:
        name: of the tensor.
        dtype: float32, float16 or uint8.
        layout: "NCHW", "NHWC", or "CHW" where it takes one picture without a batch axis.
        batch, height, width: fixed sizes.
    """

    name: str
    dtype: np.dtype[Any]
    layout: str
    batch: int | None
    height: int | None
    width: int | None

    def shape(self, batch: int, size: tuple[int, int]) -> tuple[int, ...]:
        """Of the tensor, for so many pictures of (width, height)."""
        sizes = {"N": batch, "C": 3, "H": size[1], "W": size[0]}
        return tuple(sizes[axis] for axis in self.layout)


@dataclass(frozen=True)
class ThirdPartyNetwork:
    """What is known of a stranger's network.

    Attributes:
        where: the path that errors name.
        model: the graph, at OPSET or later, weights inside.
        picture: its input; `batch` is None if two pictures at once were found to be right.
        masked: whether it has the input MASK as well.
        size: (width, height) that it was tried at, and that it is meant for.
        tried: what came out there for a picture of noise, by name of the output, in the file's order.
        properties: what the file says of itself.
        producer: the exporter that wrote it.
        checkpoint: sha256 of the file.
    """

    where: str
    model: onnx.ModelProto
    picture: PictureInput
    masked: bool
    size: tuple[int, int]
    tried: Arrays
    properties: dict[str, str]
    producer: str
    checkpoint: str

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the outputs, in the file's order."""
        return [array.shape for array in self.tried.values()]

    @property
    def batch(self) -> int:
        """How many pictures it was tried with."""
        return self.picture.batch or 1


def open_network(path: Path, size: tuple[int, int] | None = None) -> ThirdPartyNetwork:
    """Open an ONNX file that is not ours, and run it once.

    Args:
        path: of the file.
        size: (width, height) for the sides that the file leaves free; None for what it names, or SIDE.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is no ONNX, is ours already, keeps weights elsewhere, takes no pictures, or does not run.
        ExportRefused: the size differs from the one that the file has fixed, or cannot be.
    """
    model = _parse(path)
    where = str(path)
    properties = {prop.key: prop.value for prop in model.metadata_props}
    if metadata.PREFIX + "schema" in properties:
        raise CheckpointRefused(f"{where}: it is a Watchline model already; it needs no export and runs as it is")
    _drop_weights_from_inputs(model.graph)
    sort_nodes(model.graph)
    picture, masked = _inputs(model.graph, where)
    if (picture.batch or 1) > MOST_PICTURES:
        raise CheckpointRefused(f"{where}: it takes {picture.batch} pictures at once; expected up to {MOST_PICTURES}")
    size = _size(picture, size, properties, where)
    noise = np.random.default_rng(0)
    batch = picture.batch or 1
    feeds = _feeds(picture, masked, batch, size, noise)
    tried = run(model, feeds, where)
    _check_numbers(model.graph, where)
    model = _raised(model, feeds, tried, where)
    model, picture = _with_free_batch(model, picture, masked, size, (feeds, tried))
    return ThirdPartyNetwork(where, model, picture, masked, size, tried, properties, model.producer_name, sha256(path))


def _check_numbers(graph: onnx.GraphProto, where: str) -> None:
    """Raises CheckpointRefused: a weight is NaN (infinity is not one's fault: limits and masks are made of it)."""
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype in FLOATS and np.isnan(values).any():
            raise CheckpointRefused(f"{where}: its weight {tensor.name!r} holds NaN; take an earlier checkpoint")


def in_unit(array: NDArray[Any]) -> bool:
    """Whether there are numbers, and all in 0..1, as scores are after their sigmoid or softmax."""
    return bool(array.size and array.min() >= -SLACK and array.max() <= 1 + SLACK)


def _parse(path: Path) -> onnx.ModelProto:
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise CheckpointRefused(f"{path}: it has {path.stat().st_size} bytes; an ONNX file has at most {MOST_BYTES}")
    try:
        model = metadata.parse(path)
    except ModelNotFound as error:
        raise CheckpointNotFound(str(error)) from None
    except ModelRefused as error:
        raise CheckpointRefused(str(error)) from error
    beside = {path.parent / location for location in metadata.external_data(model.graph)}
    if missing := sorted(file.name for file in beside if not file.is_file()):
        raise CheckpointRefused(f"{path}: its weights in {', '.join(missing)} are missing; copy them beside it")
    if (total := sum(file.stat().st_size for file in beside)) > MOST_BYTES:
        raise CheckpointRefused(f"{path}: its weights have {total} bytes; at most {MOST_BYTES} fit into one ONNX file")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises its own, OSError and ValueError, for links, sizes and offsets
        raise CheckpointRefused(f"{path}: its weights beside it cannot be read: {first_line(error)}") from error
    return model


def _drop_weights_from_inputs(graph: onnx.GraphProto) -> None:
    """Before IR 4 weights were listed among the inputs as well, where runtimes do not take them for constants."""
    weights = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(kept)


def _inputs(graph: onnx.GraphProto, where: str) -> tuple[PictureInput, bool]:
    """The input that takes the picture, and whether there is a mask. Raises CheckpointRefused for anything else."""
    masks = [value for value in graph.input if value.name == MASK]
    rest = [value for value in graph.input if value.name != MASK]
    shapes = [_dims(value) for value in rest]
    if len(rest) == 1 and (layout := _layout(shapes[0])):
        dtype = helper.tensor_dtype_to_np_dtype(rest[0].type.tensor_type.elem_type)
        sizes = dict(zip(layout, shapes[0], strict=True))
        if dtype in (*FLOATS, np.uint8):
            return PictureInput(rest[0].name, np.dtype(dtype), layout, sizes.get("N", 1), sizes["H"], sizes["W"]), bool(
                masks
            )
    found = ", ".join(f"`{value.name}` {_show(dims)}" for value, dims in zip(rest, shapes, strict=True)) or "none"
    raise CheckpointRefused(
        f"{where}: its inputs are {found}; expected one picture (B, 3, H, W) or (B, H, W, 3), float or uint8"
    )


def _layout(dims: list[int | None]) -> str | None:
    match dims:
        case [_, 3, _, _]:
            return "NCHW"
        case [_, _, _, 3]:
            return "NHWC"
        case [_, None, _, _]:
            return "NCHW"
        case [3, _, _]:
            return "CHW"
    return None


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    """Sizes of the axes, None where the file leaves them free."""
    return [int(dim.dim_value) if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim]


def _show(dims: list[int | None]) -> str:
    return f"({', '.join('any' if dim is None else str(dim) for dim in dims)})"


def _size(
    picture: PictureInput, asked: tuple[int, int] | None, properties: dict[str, str], where: str
) -> tuple[int, int]:
    """(width, height) to work with: the file's fixed sides, else what is asked for, else what the file names."""
    named = read_literal(properties.get("imgsz", ""))  # Ultralytics: [height, width]
    if isinstance(named, list) and len(named) == 2 and all(type(n) is int for n in named):
        fallback = (named[1], named[0])
    else:
        fallback = (SIDE, SIDE)
    fixed = (picture.width, picture.height)
    size = tuple(f or s for f, s in zip(fixed, asked or fallback, strict=True))
    if not all(0 < side <= MAX_SIDE for side in size):
        raise ExportRefused(f"{where}: its input is {size[0]} x {size[1]}; expected sides of 1..{MAX_SIDE} pixels")
    if asked is not None and asked != size:
        raise ExportRefused(
            f"{where}: asked for {asked[0]} x {asked[1]} (width x height), but its sides are fixed at "
            f"{size[0]} x {size[1]}; leave the size out, or have it exported with free sides"
        )
    return size[0], size[1]


def _feeds(
    picture: PictureInput, masked: bool, batch: int, size: tuple[int, int], noise: np.random.Generator
) -> Arrays:
    shape = picture.shape(batch, size)
    if picture.dtype == np.uint8:
        feeds: Arrays = {picture.name: noise.integers(0, 256, shape, np.uint8)}
    else:
        feeds = {picture.name: noise.random(shape, np.float32).astype(picture.dtype)}
    if masked:
        feeds[MASK] = np.ones((batch, size[1], size[0]), np.int64)
    return feeds


def run(model: onnx.ModelProto, feeds: Arrays, where: str) -> Arrays:
    """The outputs of a model by name, from ONNX Runtime. Raises CheckpointRefused where that does not take it."""
    options = ort.SessionOptions()
    options.log_severity_level = SILENT
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, feeds)
    except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
        raise CheckpointRefused(
            f"{where}: onnxruntime {ort.__version__} does not run it: {first_line(error)}"
        ) from error
    return dict(zip((value.name for value in session.get_outputs()), outputs, strict=True))


def _raised(model: onnx.ModelProto, feeds: Arrays, tried: Arrays, where: str) -> onnx.ModelProto:
    """The model at OPSET or later. Raises CheckpointRefused where ONNX's own converter cannot, or changes numbers."""
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)
    if version >= OPSET:
        return model
    _drop_empty_arguments(model.graph)
    remedy = f"have it exported with opset {OPSET} or later"
    try:
        raised = version_converter.convert_version(model, OPSET)
    except Exception as error:  # RuntimeError and ConvertError, which have no other base in common
        raise CheckpointRefused(
            f"{where}: opset {version} cannot be raised to {OPSET}: {first_line(error)}; {remedy}"
        ) from error
    raised.ir_version = max(raised.ir_version, IR_VERSION)
    _drop_weights_from_inputs(raised.graph)
    if not _same(run(raised, feeds, where), tried):
        raise CheckpointRefused(f"{where}: raised from opset {version} to {OPSET}, it gives other numbers; {remedy}")
    return raised


def _drop_empty_arguments(graph: onnx.GraphProto) -> None:
    """`Resize` before opset 13 wanted all its arguments, and got empty arrays for those left out."""
    empty = {name for name, array in _constants(graph).items() if array.size == 0}
    for node in graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]


def _with_free_batch(
    model: onnx.ModelProto, picture: PictureInput, masked: bool, size: tuple[int, int], one: tuple[Arrays, Arrays]
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
        _free_batch(free, own)
    feeds, tried = one
    others = _feeds(picture, masked, own, size, np.random.default_rng(1))
    try:
        expected = run(model, others, "")
        both = run(free, {name: np.concatenate([feeds[name], others[name]]) for name in feeds}, "")
    except CheckpointRefused:  # it ran with its own batch: this one it cannot
        return model, fixed
    if any(0 in array.shape or array.ndim == 0 for array in tried.values()):
        return model, fixed  # nothing was found in noise, so nothing was compared
    together = {name: (tried[name], expected[name]) for name in tried}
    right = all(
        _close(both[name], np.concatenate(pair)) if pair[0].shape[1:] == pair[1].shape[1:] else False
        for name, pair in together.items()
    )
    if not right:
        return model, fixed
    return free, PictureInput(picture.name, picture.dtype, picture.layout, None, picture.height, picture.width)


def _free_batch(model: onnx.ModelProto, own: int) -> None:
    """Rewrite the places where exporters leave the batch's number, in place."""
    graph = model.graph
    inferred = shape_inference.infer_shapes(model).graph
    shapes = {value.name: _dims(value) for value in (*inferred.value_info, *inferred.input, *inferred.output)}
    constants = _constants(graph)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes of before
    for number, node in enumerate(graph.node):
        data = shapes.get(node.input[0]) if node.input else None
        if not data or data[0] != own:
            continue
        if node.op_type == "Reshape" and node.input[1] in constants:
            target = constants[node.input[1]].copy()
            if target.size and target[0] == own and not any(a.name == "allowzero" and a.i for a in node.attribute):
                target[0] = 0  # as many as came in
                _replace(graph, node, 1, target, number)
        elif node.op_type == "Resize" and len(node.input) == 4 and node.input[3] in constants:
            scales = _scales(data, constants[node.input[3]])
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


def _constants(graph: onnx.GraphProto) -> Arrays:
    """Small arrays that the graph knows: initializers, and what Constant nodes give."""

    def tensors() -> Iterator[tuple[str, onnx.TensorProto]]:
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        for node in graph.node:
            if node.op_type == "Constant":
                yield from ((node.output[0], a.t) for a in node.attribute if a.name == "value")

    return {name: numpy_helper.to_array(t) for name, t in tensors() if math.prod(t.dims) <= 16}


def _same(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(_close(a[name], b[name]) for name in a)


def _close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two runs gave the same, but for rounding."""
    slack = 1e-2 if np.float16 in (a.dtype, b.dtype) else 1e-3
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=slack, atol=slack))
