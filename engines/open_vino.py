"""Runs ONNX files, and OpenVINO's own (.xml with its .bin), by OpenVINO on the CPU.

FP32 is asked for by name: on CPUs with bfloat16 OpenVINO takes that by itself, and gives other numbers than elsewhere.
Threads are not pinned: with pinning, two engines of one thread share the first core and leave the second idle.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import helper

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine, first_line
from watchline.engines.contract import InputShape, check_graph, choose_size
from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelRefused

SECTION = "watchline"  # of an .xml's `rt_info`, where the metadata is
VERSION = openvino.__version__.split("-")[0]


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
        if path.suffix.lower() == ".xml":
            self._model = self._read(path)
            about, shape = describe(self._model, str(path))
        else:
            about, shape = metadata.describe(path)
            self._model = self._read(path)
        batch = shape.batch if isinstance(shape.batch, int) else None
        super().__init__(str(path), about, choose_size(shape, about, size, str(path)), f"openvino {VERSION} CPU", batch)
        self._threads = threads
        self._requests: dict[int, openvino.InferRequest] = {}
        try:
            self._compile(batch or 1)
        except Exception as error:  # OpenVINO raises RuntimeError, and TypeError for what its bindings do not take
            raise _refused(path, error) from error

    def _read(self, path: Path) -> openvino.Model:
        try:
            return self._core.read_model(str(path))
        except Exception as error:
            raise _refused(path, error) from error

    def _compile(self, batch: int) -> None:
        width, height = self.size
        self._model.reshape({"images": [batch, height, width, 3]})
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._requests[batch] = self._core.compile_model(self._model, "CPU", settings).create_infer_request()

    def _run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        if len(batch) not in self._requests:
            self._compile(len(batch))
        request = self._requests[len(batch)]
        request.infer({"images": batch}, share_inputs=True)
        # The request writes its next outputs over these, so they are copied.
        return {name: request.get_tensor(name).data.copy() for name in self._names}

    def _release(self) -> None:
        self._requests.clear()
        del self._model, self._core


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


def _refused(path: Path, error: Exception) -> ModelRefused:
    return ModelRefused(f"{path}: openvino {VERSION} does not take it: {first_line(error)}")


def version() -> str:
    """E.g. "2026.4.1 (CPU)": with the devices that OpenVINO finds."""
    return f"{VERSION} ({', '.join(openvino.Core().available_devices)})"
