"""A third-party network is tried: its inputs, and what comes out for a picture of noise."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from watchline.engines.checked import first_line
from watchline.export.errors import CheckpointRefused

COMPANIONS = (  # inputs beside the picture that are known
    "pixel_mask",  # which pixels are picture, of DETR's exports by optimum; all are, as ours are stretched
    "orig_target_sizes",  # width and height that boxes are to come in, of RT-DETR's and D-FINE's
    "im_shape",  # height and width of the picture, of PaddleDetection's
    "scale_factor",  # by which the picture was scaled, of PaddleDetection's; 1, as our boxes are in the input
)
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


def feeds_of(
    picture: PictureInput,
    companions: Mapping[str, np.dtype[Any]],
    batch: int,
    size: tuple[int, int],
    noise: np.random.Generator,
) -> Arrays:
    """A batch of noise, and what the companions are for it."""
    shape = picture.shape(batch, size)
    if picture.dtype == np.uint8:
        feeds: Arrays = {picture.name: noise.integers(0, 256, shape, np.uint8)}
    else:
        feeds = {picture.name: noise.random(shape, np.float32).astype(picture.dtype)}
    width, height = size
    values = {
        "pixel_mask": np.ones((batch, height, width)),
        "orig_target_sizes": np.full((batch, 2), (width, height)),
        "im_shape": np.full((batch, 2), (height, width)),
        "scale_factor": np.ones((batch, 2)),
    }
    return feeds | {name: values[name].astype(dtype) for name, dtype in companions.items()}


def run(model: onnx.ModelProto, feeds: Arrays, where: str) -> Arrays:
    """The outputs of a model by name, from ONNX Runtime. Raises CheckpointRefused where that does not take it."""
    options = ort.SessionOptions()
    options.log_severity_level = SILENT
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        outputs = session.run(None, feeds)
    except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
        raise CheckpointRefused(
            f"{where}: onnxruntime {ort.__version__} does not run it: {first_line(error)}"
        ) from error
    names = [value.name for value in session.get_outputs()]
    for name, output in zip(names, outputs, strict=True):
        if not isinstance(output, np.ndarray) or output.dtype.kind not in "fiub":
            raise CheckpointRefused(f"{where}: its output `{name}` holds no numbers; expected tensors of numbers")
    return dict(zip(names, outputs, strict=True))


def dtype_of(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    """NumPy's type of a tensor; object where it has none, as for text, sequences and types of later versions."""
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    except (KeyError, TypeError):
        return np.dtype(object)


def dims(value: onnx.ValueInfoProto) -> list[int | None]:
    """Sizes of the axes, None where the file leaves them free."""
    return [int(dim.dim_value) if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim]


def constants(graph: onnx.GraphProto) -> Arrays:
    """Small arrays that the graph knows: initializers, and what Constant nodes give."""

    def tensors() -> Iterator[tuple[str, onnx.TensorProto]]:
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        for node in graph.node:
            if node.op_type == "Constant":
                yield from ((node.output[0], a.t) for a in node.attribute if a.name == "value")

    return {name: numpy_helper.to_array(t) for name, t in tensors() if math.prod(t.dims) <= 16}


def same(a: Arrays, b: Arrays) -> bool:
    """Whether two runs gave the same outputs, but for rounding."""
    return a.keys() == b.keys() and all(close(a[name], b[name]) for name in a)


def close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays are the same, but for rounding."""
    slack = 1e-2 if np.float16 in (a.dtype, b.dtype) else 1e-3
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=slack, atol=slack))
