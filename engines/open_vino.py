"""Runs ONNX files, and OpenVINO's own (.xml with its .bin), by OpenVINO on the CPU.

FP32 is asked for by name: on CPUs with bfloat16 OpenVINO takes that by itself, and gives other numbers than elsewhere.
Threads are not pinned: with pinning, two engines of one thread share the first core and leave the second idle.
"""

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import helper

from watchline.engines import integers, metadata
from watchline.engines.checked import CheckedEngine, first_line
from watchline.engines.contract import InputShape, check_graph, choose_size
from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelRefused
from watchline.engines.tasks import IMAGES

SECTION = "watchline"  # of an .xml's `rt_info`, where the metadata is
VERSION = openvino.__version__.split("-")[0]
AS_FLOATS = {"LP_TRANSFORMS_MODE": False}
"""Switches its INT8 kernels off, but for those of weights that are stored as integers."""

INPUT_AXES = {"Convolution": 1, "GroupConvolution": 2, "MatMul": -2}
"""Layers, and where in their weight the input channels are; of a MatMul unless it transposes the weight."""
DECONVOLUTIONS = frozenset({"ConvolutionBackpropData", "GroupConvolutionBackpropData"})
KEEP_NUMBERS = frozenset("Convert Subtract Multiply Reshape Transpose Squeeze Unsqueeze".split())
"""What may stand between a weight and its layer, beside what rounds it."""
PASS_ROUNDING_ON = KEEP_NUMBERS | frozenset(
    "MaxPool Relu PRelu Clamp Concat Pad Split VariadicSplit StridedSlice".split()
)
"""Where OpenVINO may move the steps of what is rounded through, so that the layer after it is computed in INT8."""


class OpenVinoEngine(CheckedEngine):
    """A model compiled by OpenVINO, once for each size of batch that comes (a free batch is 7 % slower).

    Args:
        path: of the ONNX file, or of the .xml.
        size: (width, height) in pixels, None for the model's own.
        threads: that one picture is computed with.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or OpenVINO does not take the graph.
        RequestRefused: see `choose_size`.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 1) -> None:
        self._core = openvino.Core()
        self._compiling = threading.Lock()  # forks share the model, which has the shape of the batch to compile for
        if path.suffix.lower() == ".xml":
            self._model = self._read(path)
            about, shape = describe(self._model, str(path))
        else:
            about, shape = metadata.describe(path)
            self._model = self._read(path)
        batch = shape.batch if isinstance(shape.batch, int) else None
        self._settings = _settings(threads)
        runtime = f"openvino {VERSION} CPU"
        if not all(map(is_exact, _sums(self._model))):
            integers.warn(str(path), runtime)
            _weights_to_floats(self._model)
            self._settings |= AS_FLOATS
            runtime = f"{runtime}, {integers.AS_FLOATS}"
        size = choose_size(shape, about, size, str(path))
        super().__init__(str(path), about, size, runtime, batch, shape.others)
        self._separate()

    def _separate(self) -> None:
        # The requests of one compiled model with one stream wait for each other. With a stream per core they would not,
        # but that takes as much memory as compiling the model once per core.
        self._requests: dict[int, openvino.InferRequest] = {}
        try:
            self._compile(self._batch or 1)
        except Exception as error:  # OpenVINO raises RuntimeError, and TypeError for what its bindings do not take
            raise _refused(self._where, error) from error

    def _read(self, path: Path) -> openvino.Model:
        try:
            return self._core.read_model(str(path))
        except Exception as error:
            raise _refused(str(path), error) from error

    def _compile(self, batch: int) -> None:
        with self._compiling:
            self._model.reshape({name: [batch, *row] for name, row in self._rows.items()})
            compiled = self._core.compile_model(self._model, "CPU", self._settings)
        self._requests[batch] = compiled.create_infer_request()

    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        count = len(inputs[IMAGES.name])
        if count not in self._requests:
            self._compile(count)
        request = self._requests[count]
        request.infer(inputs, share_inputs=True)
        # The request writes its next outputs over these, so they are copied.
        return {name: request.get_tensor(name).data.copy() for name in names}

    def _release(self) -> None:
        del self._requests, self._model, self._core


def _settings(threads: int) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


@cache
def is_exact(kind: integers.Sums) -> bool:
    """Whether OpenVINO computes such sums of INT8 products exactly on this CPU. Takes 30 ms, once."""

    def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", _settings(threads=1))
        return np.asarray(compiled([x])[0])

    return integers.is_exact(kind, run)


def _sums(model: openvino.Model) -> frozenset[integers.Sums]:
    """Of the INT8 layers, as `integers.sums` has them; here of either file format."""
    largest = max(map(_largest_sum, model.get_ordered_ops()), default=0)
    kind = integers.Sums(onnx.TensorProto.UINT8, onnx.TensorProto.INT8, largest)
    return frozenset([kind] if largest else [])


def _largest_sum(layer: openvino.Node) -> int:
    """Of two neighbouring weights of a layer; 0 if it is none of INT8, or depthwise."""
    kind = layer.get_type_name()
    if kind not in INPUT_AXES.keys() | DECONVOLUTIONS or not _is_rounded(layer.input_value(0)):
        return 0
    way, node = _way_to_constant(layer.input_value(1))
    stored = node.get_element_type() if node.get_type_name() == "Constant" else None
    if "FakeQuantize" not in way and stored not in (openvino.Type.i8, openvino.Type.u8):
        return 0
    shape = layer.input_value(1).get_shape()
    if kind == "GroupConvolution" and shape[1] == shape[2] == 1:
        return 0
    if kind in DECONVOLUTIONS or {"FakeQuantize", "Transpose"} & way or stored != openvino.Type.i8:
        return integers.LARGEST
    axis = -1 if kind == "MatMul" and layer.get_attributes()["transpose_b"] else INPUT_AXES[kind]
    return integers.largest_sum(node.data.reshape(shape), axis)


def _is_rounded(port: openvino.Output) -> bool:
    """Whether an activation comes from integers."""
    node = port.get_node()
    while node.get_type_name() in PASS_ROUNDING_ON:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _way_to_constant(port: openvino.Output) -> tuple[set[str], openvino.Node]:
    """The kinds of nodes between a layer and its weight, and what these begin with: a constant, or other layers."""
    way: set[str] = set()
    node = port.get_node()
    while node.get_type_name() in KEEP_NUMBERS | {"FakeQuantize"}:
        way.add(node.get_type_name())
        node = node.input_value(0).get_node()
    return way, node


def _weights_to_floats(model: openvino.Model) -> None:
    """Store integer weights as floating-point numbers of the same value."""
    for convert in model.get_ordered_ops():
        if convert.get_type_name() != "Convert":
            continue
        stored = convert.input_value(0).get_node()
        if stored.get_type_name() == "Constant" and stored.get_element_type() in (openvino.Type.i8, openvino.Type.u8):
            numbers = stored.data.astype(convert.get_element_type().to_dtype())
            convert.output(0).replace(openvino.opset8.constant(numbers).output(0))


def describe(model: openvino.Model, where: str) -> tuple[Metadata, InputShape]:
    """The metadata of an OpenVINO model that keeps the contract, and which dimensions of its input are free.

    Raises:
        ModelRefused: it has no metadata, or breaks the contract.
    """
    properties = model.get_rt_info([SECTION]).value if model.has_rt_info([SECTION]) else {}
    about = metadata.from_properties({f"{metadata.PREFIX}{k}": v for k, v in properties.items()}, where)
    return about, check_graph(_signature(model), about, where)


def embed(model: openvino.Model, about: Metadata) -> None:
    """Put the metadata into an OpenVINO model, whose .xml keeps it."""
    for key, value in metadata.to_properties(about).items():
        model.set_rt_info(value, [SECTION, key.removeprefix(metadata.PREFIX)])


def _signature(model: openvino.Model) -> onnx.GraphProto:
    """Inputs and outputs as an ONNX graph declares them."""

    def declared(port: openvino.Output) -> onnx.ValueInfoProto:
        dims = [dim.get_length() if dim.is_static else None for dim in port.get_partial_shape()]
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(port.get_element_type().to_dtype()))
        return helper.make_tensor_value_info(port.get_any_name(), dtype, dims)

    return helper.make_graph([], "signature", list(map(declared, model.inputs)), list(map(declared, model.outputs)))


def _refused(where: str, error: Exception) -> ModelRefused:
    return ModelRefused(f"{where}: openvino {VERSION} does not take it: {first_line(error)}")


def load(path: Path, size: tuple[int, int] | None, threads: int, batch: int) -> OpenVinoEngine:
    """The engine of a file; it takes batches of any size."""
    return OpenVinoEngine(path, size, threads)


def writer() -> Callable[[Path, Path, int], tuple[Path, ...]]:
    """The function that writes OpenVINO's own pair of files: the graph in an .xml, the weights in a .bin.

    They load faster than the ONNX file, and OpenVINO's other tools take them. Their outputs are those of the ONNX file
    run by OpenVINO.
    """
    return _write


def _write(model: Path, file: Path, batch: int) -> tuple[Path, ...]:
    """Existing files are replaced when both are written. Raises ModelRefused: OpenVINO does not take the graph."""
    about = metadata.read(model)
    try:
        graph = openvino.Core().read_model(str(model))
    except RuntimeError as error:
        raise _refused(str(model), error) from error
    embed(graph, about)
    weights = file.with_suffix(".bin")
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.stem}-") as folder:
        part = Path(folder) / file.name
        openvino.save_model(graph, str(part), compress_to_fp16=False)  # the precision is the graph's own
        part.with_suffix(".bin").replace(weights)
        part.replace(file)
    return file, weights


def version() -> str:
    """E.g. "2026.4.1 (CPU)": with the devices that OpenVINO finds."""
    return f"{VERSION} ({', '.join(openvino.Core().available_devices)})"
