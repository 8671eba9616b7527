"""What running plans needs of a GPU: memory, streams and graphs of CUDA, and TensorRT's engines and contexts.

The real one is in real.py and cuda_memory.py; tests have a fake, for machines without a GPU (tests/fake_gpu.py).
Engines and contexts are TensorRT's own objects under their own names, so that nothing stands between the run loop and
them. Addresses, streams and graphs are whole numbers, as CUDA's C interface has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Shape(Protocol):
    """TensorRT's `Dims`: -1 is a free dimension."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> int: ...


class CudaEngine(Protocol):
    """What is used of `tensorrt.ICudaEngine`: a loaded plan, which many contexts may share."""

    @property
    def num_io_tensors(self) -> int: ...

    @property
    def device_memory_size_v2(self) -> int:
        """Bytes of device memory that a context works in."""
        ...

    def get_tensor_name(self, index: int) -> str: ...

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        """Of an input: the smallest, the usual and the largest shape."""
        ...


class Context(Protocol):
    """What is used of `tensorrt.IExecutionContext`. False means that TensorRT refuses, with a line in its log."""

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool: ...

    def get_tensor_shape(self, name: str) -> Shape: ...

    def set_tensor_address(self, name: str, memory: int) -> bool: ...

    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Cuda(Protocol):
    """Memory, streams and graphs. Every call raises InferenceFailed, naming it, when CUDA does.

    Copies and work on a stream are done later, in their order; `synchronise` waits for them.
    """

    def allocate(self, size: int) -> int:
        """`size` bytes on the device; their address."""
        ...

    def free(self, address: int) -> None: ...

    def allocate_pinned(self, size: int) -> int:
        """`size` bytes of the host that are never paged out: the only ones that the device copies by itself."""
        ...

    def free_pinned(self, address: int) -> None: ...

    def mind_own_captures(self) -> None:
        """This thread allocates, frees and waits as it likes while another thread captures.

        A capture in CUDA's global mode, such as ONNX Runtime's, forbids that to all threads that have not said so.
        """
        ...

    def create_stream(self) -> int: ...

    def destroy_stream(self, stream: int) -> None: ...

    def copy_to_device(self, device: int, pinned: int, size: int, stream: int) -> None: ...

    def copy_to_host(self, pinned: int, device: int, size: int, stream: int) -> None: ...

    def synchronise(self, stream: int) -> None: ...

    def begin_capture(self, stream: int) -> None:
        """What this thread puts on the stream from now on is recorded and not done."""
        ...

    def end_capture(self, stream: int) -> int:
        """The recording, ready to be launched. The stream is usable again, also when this raises."""
        ...

    def launch(self, graph: int, stream: int) -> None: ...

    def destroy_graph(self, graph: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What a plan is to be built from.

    Attributes:
        model: path of the ONNX file.
        size: (width, height) of the input in pixels.
        batch: (smallest, largest) number of pictures at once; it is tuned for the largest.
    """

    model: Path
    size: tuple[int, int]
    batch: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the building of a plan is: step `done` of `total` of a phase, in TensorRT's words."""

    phase: str
    done: int
    total: int


Report = Callable[[Progress], None]


class TensorRt(Protocol):
    """The library. Its own messages go to the log."""

    @property
    def version(self) -> str: ...

    def build(self, order: Order, timing: Path, report: Report) -> bytes:
        """Build a plan; `timing` is the file that keeps what was measured for the next build.

        Raises:
            ModelRefused: TensorRT does not take the model.
            InferenceFailed: the build was stopped, or it failed for another reason.
        """
        ...

    def load(self, plan: bytes, where: str) -> CudaEngine:
        """Raises ModelRefused: TensorRT does not take the plan, a file that errors call `where`."""
        ...

    def context(self, engine: CudaEngine, memory: int, size: int) -> Context:
        """A context that works in this device memory. Raises InferenceFailed: there is none to be had."""
        ...

    def complaint(self) -> str:
        """TensorRT's last error, for when one of its calls says False."""
        ...

    def dtype(self, engine: CudaEngine, name: str) -> np.dtype[Any]:
        """The type of a tensor's elements. Raises ModelRefused: NumPy has none such."""
        ...


@dataclass(frozen=True)
class Gpu:
    """A GPU by its name, e.g. "NVIDIA L4", and what works with it."""

    name: str
    cuda: Cuda
    tensorrt: TensorRt
