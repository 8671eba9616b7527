"""A third-party ONNX, opened safely and made ready to build on: at our opset, with a free batch where it can have one.

Nothing in the file is believed before it was tried: the network runs once in ONNX Runtime on noise, and shapes are
those that came out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, version_converter

from watchline.engines import metadata
from watchline.engines.checked import first_line
from watchline.engines.contract import MAX_SIDE, check_size
from watchline.engines.errors import ModelNotFound, ModelRefused, RequestRefused
from watchline.engines.tasks import SLACK
from watchline.export.class_names import read_literal
from watchline.export.detectors.free_batch import with_free_batch
from watchline.export.detectors.trial import (
    COMPANIONS,
    Arrays,
    PictureInput,
    constants,
    dims,
    dtype_of,
    feeds_of,
    run,
    same,
)
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused
from watchline.export.surgery import IR_VERSION, OPSET, sort_nodes

SIDE = 640  # of the square input that a file with free sides is tried at, where it names none itself
MOST_BYTES = 2**31 - 1  # that a protobuf, and so an ONNX in one piece, can have
FLOATS = (np.dtype(np.float32), np.dtype(np.float16))
PADDLE = "PaddlePaddle"  # the producer in its exporter's files
MOST_PICTURES = 256  # of a fixed batch; a file that claims more would have us allocate whatever it likes


@dataclass(frozen=True)
class ThirdPartyNetwork:
    """What is known of a third-party network.

    Attributes:
        where: the path that errors name.
        model: the graph, at OPSET or later, weights inside.
        picture: its input; `batch` is None if two pictures at once were found to be right.
        companions: dtypes of the inputs that it has beside the picture, by name; see COMPANIONS.
        size: (width, height) that it was tried at, and that it is meant for.
        tried: what came out there for a picture of noise, by name of the output, in the file's order.
        properties: what the file says of itself.
        producer: the exporter that wrote it.
        words: names of its nodes and weights, which trainings give to parts of their networks.
        checkpoint: sha256 of the file.
    """

    where: str
    model: onnx.ModelProto
    picture: PictureInput
    companions: Mapping[str, np.dtype[Any]]
    size: tuple[int, int]
    tried: Arrays
    properties: dict[str, str]
    producer: str
    words: str
    checkpoint: str

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the outputs, in the file's order."""
        return [array.shape for array in self.tried.values()]

    @property
    def batch(self) -> int:
        """How many pictures it was tried with."""
        return self.picture.batch or 1


def open_network(path: Path, size: tuple[int, int] | None = None, stride: int = 1) -> ThirdPartyNetwork:
    """Open an ONNX file that is not ours, and run it once.

    Args:
        path: of the file.
        size: (width, height) for the sides that the file leaves free; None for what it names, or SIDE.
        stride: that such sides are multiples of.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is no ONNX, is ours already, keeps weights elsewhere, takes no pictures, or does not run.
        ExportRefused: the size differs from the one that the file has fixed, or cannot be.
    """
    model = _parse(path)
    where = str(path)
    properties, producer = {prop.key: prop.value for prop in model.metadata_props}, model.producer_name
    if metadata.PREFIX + "schema" in properties:
        raise CheckpointRefused(f"{where}: it is a Watchline model already; it needs no export and runs as it is")
    _drop_weights_from_inputs(model.graph)
    sort_nodes(model.graph)
    names = [part.name for part in (*model.graph.node, *model.graph.initializer)]
    tensors = (name for node in model.graph.node for name in (*node.input, *node.output))
    if not all(isinstance(name, str) for name in (*names, *tensors)):
        raise CheckpointRefused(f"{where}: names in it are no UTF-8 text; copy or export it again")
    words = "\n".join(names)
    picture, companions = _inputs(model.graph, where)
    if (picture.batch or 1) > MOST_PICTURES:
        raise CheckpointRefused(f"{where}: it takes {picture.batch} pictures at once; expected up to {MOST_PICTURES}")
    _check_numbers(model.graph, where)
    size = _size(picture, size, properties, where)
    if picture.width is None or picture.height is None:
        try:
            check_size(size, stride, where)
        except RequestRefused as error:
            raise ExportRefused(str(error)) from error
    noise = np.random.default_rng(0)
    batch = picture.batch or 1
    feeds = feeds_of(picture, companions, batch, size, noise)
    tried = run(model, feeds, where)
    model = _raised(model, feeds, tried, where)
    model, picture = with_free_batch(model, picture, companions, size, (feeds, tried))
    return ThirdPartyNetwork(where, model, picture, companions, size, tried, properties, producer, words, sha256(path))


def _check_numbers(graph: onnx.GraphProto, where: str) -> None:
    """Raises CheckpointRefused: a weight cannot be read, or is NaN (limits and masks are made of infinity)."""
    for tensor in graph.initializer:
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # NumPy's and onnx's own, for sizes and types that do not fit the bytes
            raise CheckpointRefused(
                f"{where}: its weight {tensor.name[:80]!r} cannot be read ({first_line(error)}); export it again"
            ) from error
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


def _inputs(graph: onnx.GraphProto, where: str) -> tuple[PictureInput, dict[str, np.dtype[Any]]]:
    """The input that takes the picture, and the COMPANIONS. Raises CheckpointRefused for anything else."""
    companions = {value.name: dtype_of(value) for value in graph.input if value.name in COMPANIONS}
    rest = [value for value in graph.input if value.name not in COMPANIONS]
    shapes = [dims(value) for value in rest]
    if len(rest) == 1 and (layout := _layout(shapes[0])):
        dtype, sizes = dtype_of(rest[0]), dict(zip(layout, shapes[0], strict=True))
        if dtype in (*FLOATS, np.uint8):
            return PictureInput(rest[0].name, dtype, layout, sizes.get("N", 1), sizes["H"], sizes["W"]), companions
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
    if not same(run(raised, feeds, where), tried):
        raise CheckpointRefused(f"{where}: raised from opset {version} to {OPSET}, it gives other numbers; {remedy}")
    return raised


def _drop_empty_arguments(graph: onnx.GraphProto) -> None:
    """`Resize` before opset 13 wanted all its arguments, and got empty arrays for those left out."""
    empty = {name for name, array in constants(graph).items() if array.size == 0}
    for node in graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]
