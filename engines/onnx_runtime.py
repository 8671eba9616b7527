"""Runs ONNX files by ONNX Runtime, the default.

One thread an engine is the fast way to use a CPU: N workers with an engine each beat one engine of N threads, as every
operator of that one waits for its slowest thread. Waiting threads sleep (`allow_spinning=0`): a spinning pool takes
the cores from decoder and encoder.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from watchline.engines import integers, metadata
from watchline.engines.checked import CheckedEngine, first_line
from watchline.engines.contract import InputShape, check_graph, choose_size
from watchline.engines.errors import ModelRefused

CPU = "CPUExecutionProvider"
SILENT = 4  # errors come as exceptions; the runtime's own print of them on stderr would say all twice


class OnnxRuntimeEngine(CheckedEngine):
    """An ONNX file in an inference session.

    Args:
        path: of the ONNX file.
        size: (width, height) in pixels, None for the model's own.
        threads: that one picture is computed with.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or the runtime does not take the graph, or would not compute
            its integers rightly on this CPU.
        RequestRefused: see `choose_size`.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, threads: int = 1) -> None:
        model = metadata.parse(path)
        about = metadata.of(model, str(path))
        shape = check_graph(model.graph, about, str(path))
        size = choose_size(shape, about, size, str(path))
        runtime = f"onnxruntime {ort.__version__} {CPU}"
        options = session_options(shape, size, threads)
        if would_saturate(model.graph, str(path)):
            integers.warn(str(path), runtime)
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            runtime = f"{runtime}, {integers.AS_FLOATS}"
        self._threads = threads
        self._open = partial(open_session, path, options)
        self._session = self._open()
        batch = shape.batch if isinstance(shape.batch, int) else None
        super().__init__(str(path), about, size, runtime, batch, shape.others)

    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def _separate(self) -> None:
        # A session of one thread computes in the thread that calls, in several at once; others have a thread pool.
        if self._threads > 1:
            self._session = self._open()

    def _release(self) -> None:
        del self._session


def load(path: Path, size: tuple[int, int] | None, threads: int, batch: int) -> OnnxRuntimeEngine:
    """The engine of a file; it takes batches of any size."""
    return OnnxRuntimeEngine(path, size, threads)


def version() -> str:
    """E.g. "1.23.0 (CUDAExecutionProvider, CPUExecutionProvider)"."""
    return f"{ort.__version__} ({', '.join(ort.get_available_providers())})"


def would_saturate(graph: onnx.GraphProto, where: str) -> bool:
    """Whether INT8 layers of a graph must be computed in floating point here, as the CPU provider saturates.

    Raises:
        ModelRefused: they must, and cannot, as they have integer operators of their own; `where` is named.
    """
    if all(map(is_exact, integers.sums(graph))):
        return False
    if not integers.can_be_floats(graph):
        raise ModelRefused(
            f"{where}: its INT8 weights would saturate in onnxruntime {ort.__version__} on this CPU, and its integer "
            "operators leave no other way; export it again with Q/DQ nodes, or take the model in FP32"
        )
    return True


@cache
def is_exact(kind: integers.Sums) -> bool:
    """Whether ONNX Runtime's CPU provider computes such sums of INT8 products exactly here. Takes 1 ms, once."""

    def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
        session = ort.InferenceSession(model.SerializeToString(), plain_options(threads=1), providers=[CPU])
        return np.asarray(session.run(None, {"x": x})[0])

    return integers.is_exact(kind, run)


def session_options(shape: InputShape, size: tuple[int, int], threads: int) -> ort.SessionOptions:
    """The options of a session whose input has this height and width."""
    options = plain_options(threads)
    width, height = size
    # Height and width become constants, so that the grid of the decoder is folded. The batch stays free: fixing it
    # to 1 gained nothing that could be measured.
    for dim, side in {shape.height: height, shape.width: width}.items():
        if isinstance(dim, str):
            options.add_free_dimension_override_by_name(dim, side)
    return options


def plain_options(threads: int) -> ort.SessionOptions:
    """The options of every session, whatever its inputs are."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = SILENT
    return options


def open_session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """The session of a file. Raises ModelRefused: the runtime does not take it."""
    try:
        return ort.InferenceSession(_model(path), options, providers=[CPU], enable_fallback=0)
    except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
        raise ModelRefused(f"{path}: onnxruntime {ort.__version__} does not take it: {first_line(error)}") from error


def _model(path: Path) -> str | bytes:
    """A file's name; or the file itself, where the name is no UTF-8, which onnxruntime does not take."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return str(path)
