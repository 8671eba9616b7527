"""Runs ONNX files on an NVIDIA GPU by ONNX Runtime's CUDA provider: no plan is built beforehand.

    with OnnxCudaEngine(Path("model.onnx"), batch=8) as engine:
        ...

Pictures and outputs are copied between pinned buffers and buffers of the device, on the network's stream. ONNX Runtime
records its work for a number of pictures as a CUDA graph: then one launch replaces a launch of every kernel. Graphs are
recorded for 1, 2, 4, … pictures when the engine warms up, and any other number runs as the next larger one. So no graph
is recorded later, because that takes long and would delay a live stream.
"""

import logging
import re
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine, first_line, in_pieces
from watchline.engines.contract import check_graph, choose_size
from watchline.engines.errors import EngineError, InferenceFailed, ModelRefused, RuntimeUnavailable
from watchline.engines.integers import can_be_floats
from watchline.engines.nvidia.buffers import bytes_of, on_device, on_host
from watchline.engines.nvidia.find_cuda import Device, find_cuda
from watchline.engines.onnx_runtime import CPU, SILENT, session_options, would_saturate
from watchline.engines.runtimes import for_cpus
from watchline.engines.tasks import IMAGES, TASKS

log = logging.getLogger(__name__)

NO_GRAPH = -1  # ONNX Runtime's number for a run that is neither recorded nor replayed
RECORDING = threading.RLock()
"""Held while a session opens or closes, and while a graph is recorded. A session that opens waits for all work on the
device, which invalidates a recording in another thread. Replays need no lock."""
FAILURE = re.compile(r"CU\w+ failure \d+: [^;]+|Failed to allocate memory[^;]*")


@dataclass(frozen=True)
class CudaSettings:
    """How the CUDA provider computes.

    Attributes:
        graphs: whether CUDA graphs are recorded, if the model allows it.
        tf32: whether the inputs of FP32 matrix products and convolutions are rounded to 10 bits of mantissa: faster.
        search: how cuDNN's kernels are chosen: "HEURISTIC" at once, "EXHAUSTIVE" by trying all for each new shape.
        nhwc: whether convolutions have channels last.
    """

    graphs: bool = True
    tf32: bool = False
    search: str = "HEURISTIC"
    nhwc: bool = False


@dataclass(frozen=True)
class Ready:
    """A prepared run of one number of pictures: its buffers, and the number of its graph."""

    binding: ort.IOBinding
    options: ort.RunOptions


class OnnxCudaEngine(CheckedEngine):
    """An ONNX file in a session on a GPU.

    Args:
        path: of the ONNX file.
        size: (width, height) in pixels, None for the model's own.
        batch: largest number of pictures per run, which decides the size of the buffers. Larger batches are split.
        settings: of the provider.
        device: None for this machine's GPU.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or ONNX Runtime does not accept the graph, or its operators on
            the CPU would compute integers wrongly.
        RequestRefused: see `choose_size`.
        RuntimeUnavailable: see `find_cuda`; or another provider would run the model.
        InferenceFailed: the GPU has not enough memory.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        batch: int = 1,
        settings: CudaSettings = CudaSettings(),
        device: Device | None = None,
    ) -> None:
        model = metadata.parse(path)
        about = metadata.of(model, str(path))
        shape = check_graph(model.graph, about, str(path))
        if not can_be_floats(model.graph):  # the provider runs integer operators on the CPU
            would_saturate(model.graph, str(path))
        size = choose_size(shape, about, size, str(path))
        fixed = shape.batch if isinstance(shape.batch, int) else None
        self._device = device or find_cuda()
        runtime = f"onnxruntime {ort.__version__} {self._device.provider} {self._device.name}"
        super().__init__(str(path), about, size, runtime, fixed, shape.others)
        self._path, self._settings, self._graphs = path, settings, settings.graphs
        self._options = session_options(shape, size, threads=1)
        self._most = fixed or batch
        self._sizes = [fixed] if fixed else [*_powers_of_two(below=batch), batch]
        self._cuda = self._device.cuda
        self._separate()

    def _separate(self) -> None:
        """Open a session, a stream and buffers for this engine."""
        self._cuda.exempt_from_captures()
        self._ready: dict[int, Ready] = {}
        self._buffers: dict[str, int] = {}
        self._pinned: dict[str, NDArray[Any]] = {}
        with RECORDING, ExitStack() as self._held:
            self._stream = self._cuda.create_stream()
            self._held.callback(self._cuda.destroy_stream, self._stream)
            for tensor in TASKS[self.metadata.task].inputs:
                self._add_buffer(tensor.name, self._rows[tensor.name], np.dtype(tensor.dtype))
            self._session = self._open()
            self._held = self._held.pop_all()

    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        self._cuda.exempt_from_captures()  # in the thread that calls
        try:
            pieces = [self._run_piece(piece) for piece in in_pieces(inputs, self._most)]
        except EngineError:
            raise
        except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
            raise InferenceFailed(f"{self._where}: {self.runtime} failed: {_short(error)}") from error
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def warm_up(self) -> None:
        """Prepare and run each number of pictures that has a graph."""
        for count in self._sizes:
            self.infer(self._blank(count))

    def _release(self) -> None:
        with suppress(InferenceFailed):  # after an error of the device every call fails; the first one was raised
            self._cuda.exempt_from_captures()
            self._cuda.synchronise(self._stream)
        self._ready.clear()
        self._pinned.clear()
        with RECORDING, suppress(InferenceFailed):
            del self._session  # before the stream and the buffers that it uses
            self._held.close()

    def _run_piece(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        count = len(inputs[IMAGES.name])
        for name, rows in inputs.items():
            self._pinned[name][:count] = rows
        size = next(size for size in self._sizes if size >= count)
        ready = self._ready.get(size) or self._prepared(size)
        self._copy_in(count)
        self._session.run_with_iobinding(ready.binding, ready.options)
        for name in self._names:
            pinned = self._pinned[name]
            self._cuda.copy_to_host(pinned.ctypes.data, self._buffers[name], pinned[:count].nbytes, self._stream)
        self._cuda.synchronise(self._stream)
        return {name: self._pinned[name][:count].copy() for name in self._names}

    def _copy_in(self, count: int) -> None:
        for name in self._rows:
            pinned = self._pinned[name]
            self._cuda.copy_to_device(self._buffers[name], pinned.ctypes.data, pinned[:count].nbytes, self._stream)

    def _prepared(self, count: int) -> Ready:
        with RECORDING:
            return self._prepare(count)

    def _prepare(self, count: int) -> Ready:
        """Bind the buffers for `count` pictures, and record their graph."""
        if self._names[0] not in self._buffers:
            self._add_outputs(count)
        binding = self._bound_inputs(count)
        for name in self._names:
            pinned = self._pinned[name]
            shape = [count, *pinned.shape[1:]]
            binding.bind_output(name, self._device.memory, 0, pinned.dtype, shape, self._buffers[name])
        ready = Ready(binding, _run_options(count, wait=False))
        if self._graphs:
            try:
                self._session.run_with_iobinding(binding, _run_options(count, wait=True))
            except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
                self._without_graphs(error)
                return self._prepare(count)
        self._ready[count] = ready
        return ready

    def _add_outputs(self, count: int) -> None:
        """Add buffers for the outputs. Their shapes are known after a run with outputs that ONNX Runtime allocates."""
        binding = self._bound_inputs(count)
        for name in self._names:
            binding.bind_output(name, self._device.memory, 0)
        self._copy_in(count)
        self._session.run_with_iobinding(binding, _run_options(NO_GRAPH, wait=True))
        for name, output in zip(self._names, binding.copy_outputs_to_cpu(), strict=True):
            self._add_buffer(name, output.shape[1:], output.dtype)

    def _bound_inputs(self, count: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, row in self._rows.items():
            binding.bind_input(
                name, self._device.memory, 0, self._pinned[name].dtype, [count, *row], self._buffers[name]
            )
        return binding

    def _add_buffer(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Add buffers for `_most` arrays of this shape: on the device, and pinned on the host."""
        shape = (self._most, *shape)
        self._buffers[name] = on_device(self._cuda, self._held, max(1, bytes_of(shape, dtype)))
        self._pinned[name] = on_host(self._cuda, self._held, shape, dtype)

    def _open(self) -> ort.InferenceSession:
        """Open a session; without graphs if the model does not allow them."""
        try:
            return self._session_with(self._graphs)
        except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
            if not self._graphs:
                raise self._refused(error) from error
            try:
                session = self._session_with(graphs=False)
            except Exception as second:
                raise self._refused(second) from second
            self._warn(error)
            self._graphs = False
            return session

    def _without_graphs(self, error: Exception) -> None:
        """Continue in a new session without graphs, because the failed recording has invalidated the old one."""
        self._warn(error)
        self._graphs = False
        self._ready.clear()
        self._session = self._open()

    def _session_with(self, graphs: bool) -> ort.InferenceSession:
        ort.set_default_logger_severity(SILENT)  # messages of no session; all of them are raised as errors too
        wanted = {
            "user_compute_stream": str(self._stream),
            "enable_cuda_graph": str(int(graphs)),
            "use_tf32": str(int(self._settings.tf32)),
            "cudnn_conv_algo_search": self._settings.search,
            "prefer_nhwc": str(int(self._settings.nhwc)),
            "arena_extend_strategy": "kSameAsRequested",
        }
        provider = self._device.provider
        session = self._device.open(
            str(self._path), self._options, providers=[(provider, wanted), CPU], enable_fallback=0
        )
        if (runs := session.get_providers()[0]) != provider:
            raise RuntimeUnavailable(
                f"asked for {provider}, but onnxruntime {ort.__version__} would run on {runs}: a library of CUDA "
                f"{ort.cuda_version} or cuDNN 9 is missing; pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return session

    def _refused(self, error: Exception) -> Exception:
        if isinstance(error, RuntimeUnavailable):
            return error
        if FAILURE.search(str(error)):  # a failure of the GPU, not of the model
            return InferenceFailed(f"{self._where}: {self.runtime} cannot begin: {_short(error)}")
        return ModelRefused(f"{self._where}: {self.runtime} does not take it: {_short(error)}")

    def _warn(self, error: Exception) -> None:
        log.warning("%s: runs without CUDA graphs, which costs some time per batch: %s", self._where, _short(error))


def _powers_of_two(below: int) -> list[int]:
    return [1 << n for n in range((below - 1).bit_length())]


def _short(error: Exception) -> str:
    """The message of CUDA, cuDNN or cuBLAS from ONNX Runtime's long text; of other errors, the first line."""
    failure = FAILURE.search(str(error))
    return failure[0].strip() if failure else first_line(error)


def _run_options(graph: int, wait: bool) -> ort.RunOptions:
    """Args: graph, its number or NO_GRAPH; wait, whether the run waits for its results, or the caller does."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    options.add_run_config_entry("disable_synchronize_execution_providers", str(int(not wait)))
    return options


def load(path: Path, size: tuple[int, int] | None, threads: int, batch: int) -> OnnxCudaEngine:
    """The engine of a file, on the GPU of this machine. It has no use for threads."""
    try:
        device = find_cuda()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(f"{path}: {error}; or run it by {for_cpus()}") from error
    return OnnxCudaEngine(path, size, batch, device=device)


def version() -> str:
    """Versions and GPU, e.g. "1.31.1, CUDA 13.0 (NVIDIA L4)". Raises RuntimeUnavailable, see `find_cuda`."""
    return f"{ort.__version__}, CUDA {ort.cuda_version} ({find_cuda().name})"
