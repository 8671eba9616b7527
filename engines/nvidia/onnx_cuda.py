"""Runs ONNX files on an NVIDIA GPU by ONNX Runtime's CUDA provider: no plan is built beforehand.

    with OnnxCudaEngine(Path("model.onnx"), batch=8) as engine:
        ...

Pictures and outputs cross the bus between pinned buffers and buffers of the device, on the stream that the network
runs on. What ONNX Runtime does for a number of pictures it records as a CUDA graph: one launch then, where it else
launches each kernel by itself. Graphs are made for 1, 2, 4, … pictures, when the engine is warmed up, and another
number runs as the next larger one: on a live stream no number may come for the first time, as that takes long.
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
from watchline.engines.checked import GREY, CheckedEngine, first_line
from watchline.engines.contract import check_graph, choose_size
from watchline.engines.errors import EngineError, InferenceFailed, ModelRefused, RuntimeUnavailable
from watchline.engines.integers import can_be_floats
from watchline.engines.nvidia.buffers import bytes_of, on_device, on_host
from watchline.engines.nvidia.find_cuda import Device, find_cuda
from watchline.engines.onnx_runtime import CPU, SILENT, session_options, would_saturate

log = logging.getLogger(__name__)

INPUT = "images"
NO_GRAPH = -1  # the number by which ONNX Runtime knows a run that is neither recorded nor replayed
PIXELS = np.dtype(np.uint8)
QUIET = threading.RLock()
"""Held while a session opens or closes and while a graph is recorded. A session that opens waits for the whole device,
and that spoils what another thread records; replays go on meanwhile."""
FAILURE = re.compile(r"CU\w+ failure \d+: [^;]+|Failed to allocate memory[^;]*")


@dataclass(frozen=True)
class Settings:
    """How the CUDA provider computes.

    Attributes:
        graphs: record CUDA graphs, where the model allows it.
        tf32: round the inputs of FP32 matrix products and convolutions to 10 bits of mantissa, which is faster.
        search: how cuDNN's kernels are chosen: "HEURISTIC" at once, "EXHAUSTIVE" by trying all for each new shape.
        nhwc: convolutions with channels last.
    """

    graphs: bool = True
    tf32: bool = False
    search: str = "HEURISTIC"
    nhwc: bool = False


@dataclass(frozen=True)
class Ready:
    """What a run of one number of pictures needs: its buffers, and the number of its graph."""

    binding: ort.IOBinding
    options: ort.RunOptions


class OnnxCudaEngine(CheckedEngine):
    """An ONNX file in a session on a GPU.

    Args:
        path: of the ONNX file.
        size: (width, height) in pixels, None for the model's own.
        batch: the most pictures at once, for which there are buffers; larger batches are run in parts.
        settings: of the provider.
        device: None for the GPU that is there.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or ONNX Runtime does not take the graph, or its CPU part
            would not compute integers rightly.
        RequestRefused: see `choose_size`.
        RuntimeUnavailable: see `find_cuda`; or another provider would be the one that runs.
        InferenceFailed: the GPU has no room.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        batch: int = 1,
        settings: Settings = Settings(),
        device: Device | None = None,
    ) -> None:
        model = metadata.parse(path)
        about = metadata.of(model, str(path))
        shape = check_graph(model.graph, about, str(path))
        if not can_be_floats(model.graph):  # the provider leaves integer operators to the CPU
            would_saturate(model.graph, str(path))
        size = choose_size(shape, about, size, str(path))
        fixed = shape.batch if isinstance(shape.batch, int) else None
        self._device = device or find_cuda()
        super().__init__(
            str(path), about, size, f"onnxruntime {ort.__version__} {self._device.provider} {self._device.name}", fixed
        )
        self._path, self._settings, self._graphs = path, settings, settings.graphs
        self._options = session_options(shape, size, threads=1)
        self._most = fixed or batch
        self._sizes = [fixed] if fixed else [*_powers_of_two(below=batch), batch]
        self._cuda = self._device.cuda
        self._cuda.mind_own_captures()
        self._ready: dict[int, Ready] = {}
        self._buffers: dict[str, int] = {}
        self._pinned: dict[str, NDArray[Any]] = {}
        with QUIET, ExitStack() as self._held:
            self._stream = self._cuda.create_stream()
            self._held.callback(self._cuda.destroy_stream, self._stream)
            self._add_buffer(INPUT, (size[1], size[0], 3), PIXELS)
            self._session = self._open()
            self._held = self._held.pop_all()

    def _run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        self._cuda.mind_own_captures()  # whichever thread this is
        try:
            parts = [self._run_part(batch[first : first + self._most]) for first in range(0, len(batch), self._most)]
        except EngineError:
            raise
        except Exception as error:  # the exceptions of onnxruntime have no base in common but this one
            raise InferenceFailed(f"{self._where}: {self.runtime} failed: {_short(error)}") from error
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}

    def warm_up(self) -> None:
        """Runs each number of pictures that is made ready."""
        width, height = self.size
        for count in self._sizes:
            self.infer(np.full((count, height, width, 3), GREY, np.uint8))

    def _release(self) -> None:
        with suppress(InferenceFailed):  # after an error of the device every call fails, and the first one was told
            self._cuda.mind_own_captures()
            self._cuda.synchronise(self._stream)
        self._ready.clear()
        self._pinned.clear()
        with QUIET, suppress(InferenceFailed):
            del self._session  # before the stream and the buffers that it works with
            self._held.close()

    def _run_part(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        count = len(batch)
        self._pinned[INPUT][:count] = batch
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
        pinned = self._pinned[INPUT]
        self._cuda.copy_to_device(self._buffers[INPUT], pinned.ctypes.data, pinned[:count].nbytes, self._stream)

    def _prepared(self, count: int) -> Ready:
        with QUIET:
            return self._prepare(count)

    def _prepare(self, count: int) -> Ready:
        """Bind the buffers for so many pictures, and record their graph."""
        if self._names[0] not in self._buffers:
            self._add_outputs(count)
        binding = self._bound_input(count)
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
        """Buffers for the outputs, whose shapes show in a run whose outputs ONNX Runtime puts where it likes."""
        binding = self._bound_input(count)
        for name in self._names:
            binding.bind_output(name, self._device.memory, 0)
        self._copy_in(count)
        self._session.run_with_iobinding(binding, _run_options(NO_GRAPH, wait=True))
        for name, output in zip(self._names, binding.copy_outputs_to_cpu(), strict=True):
            self._add_buffer(name, output.shape[1:], output.dtype)

    def _bound_input(self, count: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        shape = [count, *self._pinned[INPUT].shape[1:]]
        binding.bind_input(INPUT, self._device.memory, 0, PIXELS, shape, self._buffers[INPUT])
        return binding

    def _add_buffer(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """For `_most` pictures or their outputs, each of this shape: on the device, and pinned on the host."""
        shape = (self._most, *shape)
        self._buffers[name] = on_device(self._cuda, self._held, max(1, bytes_of(shape, dtype)))
        self._pinned[name] = on_host(self._cuda, self._held, shape, dtype)

    def _open(self) -> ort.InferenceSession:
        """A session; without graphs if the model does not allow them."""
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
        """Go on in a session that records none, as a run in the old one was spoilt by it."""
        self._warn(error)
        self._graphs = False
        self._ready.clear()
        self._session = self._open()

    def _session_with(self, graphs: bool) -> ort.InferenceSession:
        ort.set_default_logger_severity(SILENT)  # of what is not a session's: all of it is raised too
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
        if FAILURE.search(str(error)):  # which says nothing of the model
            return InferenceFailed(f"{self._where}: {self.runtime} cannot begin: {_short(error)}")
        return ModelRefused(f"{self._where}: {self.runtime} does not take it: {_short(error)}")

    def _warn(self, error: Exception) -> None:
        log.warning("%s: runs without CUDA graphs, which costs some time a batch: %s", self._where, _short(error))


def _powers_of_two(below: int) -> list[int]:
    return [1 << n for n in range((below - 1).bit_length())]


def _short(error: Exception) -> str:
    """What CUDA, cuDNN or cuBLAS say, out of the page that ONNX Runtime makes of it; of other errors the first line."""
    failure = FAILURE.search(str(error))
    return failure[0].strip() if failure else first_line(error)


def _run_options(graph: int, wait: bool) -> ort.RunOptions:
    """graph: its number, or NO_GRAPH. wait: until all is computed; else the stream is waited for by who asked."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    options.add_run_config_entry("disable_synchronize_execution_providers", str(int(not wait)))
    return options


def version() -> str:
    """E.g. "1.31.1, CUDA 13.0 (NVIDIA L4)". Raises RuntimeUnavailable, see `find_cuda`."""
    return f"{ort.__version__}, CUDA {ort.cuda_version} ({find_cuda().name})"
