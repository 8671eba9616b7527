"""The interface to a GPU for running plans: CUDA's memory, streams and graphs, and TensorRT's engines and contexts.

real.py and cuda_memory.py implement it; tests have a fake for machines without a GPU (tests/fake_gpu.py). Engines and
contexts are TensorRT's own objects with their own method names, so the run loop needs no wrapper. Addresses, streams
and graphs are integers, as in CUDA's C interface.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Dims(Protocol):
    """TensorRT's `Dims`: -1 is a free dimension."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> int: ...


class CudaEngine(Protocol):
    """The methods of `tensorrt.ICudaEngine` that are used: a loaded plan, which many contexts may share."""

    @property
    def num_io_tensors(self) -> int: ...

    @property
    def device_memory_size_v2(self) -> int:
        """Bytes of working memory that a context needs on the device."""
        ...

    def get_tensor_name(self, index: int) -> str: ...

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        """The smallest, the usual and the largest shape of an input."""
        ...


class Context(Protocol):
    """The methods of `tensorrt.IExecutionContext` that are used. False means that TensorRT refuses, and logs why."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool: ...

    def get_tensor_shape(self, name: str) -> Dims: ...

    def set_tensor_address(self, name: str, memory: int) -> bool: ...

    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Cuda(Protocol):
    """Memory, streams and graphs. A call that fails in CUDA raises InferenceFailed, which names the call.

    Copies and work on a stream are done later, in order; `synchronise` waits for them.
    """

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes on the device. Returns their address."""
        ...

    def free(self, address: int) -> None: ...

    def allocate_pinned(self, size: int) -> int:
        """Allocate `size` bytes of the host that are never paged out. Only these are copied by the device itself."""
        ...

    def free_pinned(self, address: int) -> None: ...

    def exempt_from_captures(self) -> None:
        """Allow this thread to allocate, free and wait while another thread captures.

        A capture in CUDA's global mode, such as ONNX Runtime's, forbids that to all threads that have not called this.
        """
        ...

    def create_stream(self) -> int: ...

    def destroy_stream(self, stream: int) -> None: ...

    def copy_to_device(self, device: int, pinned: int, size: int, stream: int) -> None: ...

    def copy_to_host(self, pinned: int, device: int, size: int, stream: int) -> None: ...

    def synchronise(self, stream: int) -> None: ...

    def begin_capture(self, stream: int) -> None:
        """Start recording: work that this thread puts on the stream from now on is recorded, and not done."""
        ...

    def end_capture(self, stream: int) -> int:
        """Stop recording. Returns the graph, ready to be launched. The stream is usable again, even if this raises."""
        ...

    def launch(self, graph: int, stream: int) -> None: ...

    def destroy_graph(self, graph: int) -> None: ...


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a plan is built from.

    Attributes:
        model: path of the ONNX file.
        size: (width, height) of the input in pixels.
        batch: (smallest, largest) number of pictures per batch; the plan is tuned for the largest.
    """

    model: Path
    size: tuple[int, int]
    batch: tuple[int, int]


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """The progress of a build: step `done` of `total` of a phase, with TensorRT's name of the phase."""

    phase: str
    done: int
    total: int


OnProgress = Callable[[BuildProgress], None]


class TensorRt(Protocol):
    """The library. Its messages go to the log."""

    @property
    def version(self) -> str: ...

    def build(self, request: BuildRequest, timing: Path, report: OnProgress) -> bytes:
        """Build a plan. `timing` is the file that keeps measurements for the next build.

        Raises:
            ModelRefused: TensorRT does not accept the model.
            InferenceFailed: the build was stopped, or it failed for another reason.
        """
        ...

    def load(self, plan: bytes, where: str) -> CudaEngine:
        """Load a plan. Errors name the file `where`. Raises ModelRefused: TensorRT does not accept the plan."""
        ...

    def context(self, engine: CudaEngine, memory: int, size: int) -> Context:
        """Create a context with this working memory. Raises InferenceFailed: TensorRT gives none."""
        ...

    def complaint(self) -> str:
        """TensorRT's last error, after a call that returned False."""
        ...

    def dtype(self, engine: CudaEngine, name: str) -> np.dtype[Any]:
        """The type of a tensor's elements. Raises ModelRefused: NumPy has no such type."""
        ...


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name, e.g. "NVIDIA L4", and the libraries that use it."""

    name: str
    cuda: Cuda
    tensorrt: TensorRt
