"""Runs ONNX files by OpenVINO on the CPU.

FP32 is asked for by name: on CPUs with bfloat16 OpenVINO takes that by itself, and gives other numbers than elsewhere.
Threads are not pinned: with pinning, two engines of one thread share the first core and leave the second idle.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine, first_line
from watchline.engines.contract import choose_size
from watchline.engines.errors import ModelRefused

VERSION = openvino.__version__.split("-")[0]


class OpenVinoEngine(CheckedEngine):
    """An ONNX file compiled by OpenVINO, once for each size of batch that comes (a free batch is 7 % slower).

    Args:
        path: of the ONNX file.
        size: (width, height) in pixels, None for the model's own.
        threads: that one picture is computed with.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or OpenVINO does not take the graph.
        RequestRefused: see `choose_size`.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 1) -> None:
        about, shape = metadata.describe(path)
        batch = shape.batch if isinstance(shape.batch, int) else None
        super().__init__(str(path), about, choose_size(shape, about, size, str(path)), f"openvino {VERSION} CPU", batch)
        self._threads = threads
        self._core = openvino.Core()
        self._requests: dict[int, openvino.InferRequest] = {}
        try:
            self._model = self._core.read_model(str(path))
            self._compile(batch or 1)
        except Exception as error:  # OpenVINO raises RuntimeError, and TypeError for what its bindings do not take
            raise ModelRefused(f"{path}: openvino {VERSION} does not take it: {first_line(error)}") from error

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


def version() -> str:
    """E.g. "2026.4.1 (CPU)": with the devices that OpenVINO finds."""
    return f"{VERSION} ({', '.join(openvino.Core().available_devices)})"
