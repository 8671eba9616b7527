"""Runs ONNX files by ONNX Runtime, the default.

One thread an engine is the fast way to use a CPU: N workers with an engine each beat one engine of N threads, as every
operator of that one waits for its slowest thread. Waiting threads sleep (`allow_spinning=0`): a spinning pool takes
the cores from decoder and encoder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine, first_line
from watchline.engines.contract import InputShape, choose_size
from watchline.engines.errors import ModelRefused, RuntimeUnavailable

CPU = "CPUExecutionProvider"
SILENT = 4  # errors come as exceptions; the runtime's own print of them on stderr would say all twice


class OnnxRuntimeEngine(CheckedEngine):
    """An ONNX file in an inference session.

    Args:
        path: of the ONNX file.
        size: (width, height) in pixels, None for the model's own.
        threads: that one picture is computed with.
        provider: e.g. "CPUExecutionProvider", "CUDAExecutionProvider": the one that must run.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or the runtime does not take the graph.
        RequestRefused: see `choose_size`.
        RuntimeUnavailable: the provider is not there, or would not be the one that runs.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 1, provider: str = CPU) -> None:
        about, shape = metadata.describe(path)
        size = choose_size(shape, about, size, str(path))
        if provider not in ort.get_available_providers():
            raise RuntimeUnavailable(
                f"{provider} is not in this onnxruntime {ort.__version__}, which has "
                f"{', '.join(ort.get_available_providers())}; for CUDA install onnxruntime-gpu instead of onnxruntime"
            )
        self._session = _session(path, _options(shape, size, threads), provider)
        if (runs := self._session.get_providers()[0]) != provider:
            raise RuntimeUnavailable(
                f"asked for {provider}, but onnxruntime {ort.__version__} would run on {runs}: its driver or libraries "
                f"are missing; install them, or ask for {runs}"
            )
        batch = shape.batch if isinstance(shape.batch, int) else None
        super().__init__(str(path), about, size, f"onnxruntime {ort.__version__} {provider}", batch)

    def _run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._names, self._session.run(self._names, {"images": batch}), strict=True))

    def _release(self) -> None:
        del self._session


def version() -> str:
    """E.g. "1.23.0 (CUDAExecutionProvider, CPUExecutionProvider)"."""
    return f"{ort.__version__} ({', '.join(ort.get_available_providers())})"


def _options(shape: InputShape, size: tuple[int, int], threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = SILENT
    width, height = size
    # Height and width become constants, so that the grid of the decoder is folded. The batch stays free: fixing it
    # to 1 gained nothing that could be measured.
    for dim, side in {shape.height: height, shape.width: width}.items():
        if isinstance(dim, str):
            options.add_free_dimension_override_by_name(dim, side)
    return options


def _session(path: Path, options: ort.SessionOptions, provider: str) -> ort.InferenceSession:
    providers = [provider] if provider == CPU else [provider, CPU]  # single operators may lack a kernel on the device
    try:
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
        raise ModelRefused(f"{path}: onnxruntime {ort.__version__} does not take it: {first_line(error)}") from error
