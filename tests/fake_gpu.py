"""A fake GPU: it runs plans by ONNX Runtime, and enforces the rules of CUDA and TensorRT.

    engine = TensorRtEngine(Path("model.onnx"), gpu=fake_gpu())

It is for tests of everything around a plan: cache, builds, buffers, graphs, clean-up. It says nothing about speed, nor
about which models TensorRT accepts. Its plans are a line of JSON and the ONNX file.

Work on a stream is done only when the stream is synchronised. Device memory starts as garbage. A broken rule raises
BrokenRule, where a real GPU could give wrong numbers or end the process.
"""

import itertools
import json
import threading
from collections.abc import Callable, MutableMapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.interface import (
    BuildProgress,
    BuildRequest,
    Context,
    Cuda,
    CudaEngine,
    Gpu,
    OnProgress,
    TensorRt,
)

GARBAGE = 0xA5
MAGIC = b"watchline fake plan "
Work = Callable[[], None]
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


class BrokenRule(BaseException):
    """CUDA or TensorRT was used in a forbidden way. As a BaseException, it is not caught as a failure."""


def fake_gpu(
    name: str = "Fake GPU", version: str = "11.0.fake", memory: int = 1 << 30, captures: bool = True
) -> "FakeGpu":
    """Make a GPU to run plans on.

    Args:
        name, version: of the GPU and of its TensorRT.
        memory: bytes of the device.
        captures: whether graphs can be captured from its contexts.
    """
    cuda = FakeCuda(memory)
    return FakeGpu(name, cuda, FakeTensorRt(cuda, version, captures))


class FakeGpu(Gpu):
    """A Gpu with fake libraries, which tests can inspect."""

    cuda: "FakeCuda"
    tensorrt: "FakeTensorRt"


class FakeCuda(Cuda):
    """Memory, streams and graphs. Addresses are real addresses of host memory, so NumPy can use pinned buffers.

    Attributes:
        launched: how many graphs were launched.
        enqueued: how many times a context put work on a stream that was not being captured.
        exempt: the threads that may allocate, free and wait while others capture.
    """

    def __init__(self, memory: int) -> None:
        self._room = memory
        self._device: dict[int, NDArray[np.uint8]] = {}
        self._pinned: dict[int, NDArray[np.uint8]] = {}
        self._streams: dict[int, list[Work]] = {}
        self._captures: dict[int, tuple[int, list[Work]]] = {}  # stream -> the thread that records, and the recording
        self._invalid: set[int] = set()  # streams whose recording is invalidated
        self._graphs: dict[int, list[Work]] = {}
        self._handles = itertools.count(1)
        self._lock = threading.RLock()
        self.launched = 0
        self.enqueued = 0
        self.exempt: set[int] = set()

    def allocate(self, size: int) -> int:
        if self._captures_here():
            raise InferenceFailed("cudaMalloc failed: not permitted while this thread captures a stream")
        with self._lock:
            if size + sum(array.size for array in self._device.values()) > self._room:
                raise InferenceFailed("cudaMalloc failed: out of memory")
            return _add(self._device, size)

    def free(self, address: int) -> None:
        _take(self._device, address, "device memory")

    def allocate_pinned(self, size: int) -> int:
        with self._lock:
            return _add(self._pinned, size)

    def free_pinned(self, address: int) -> None:
        _take(self._pinned, address, "pinned memory")

    def exempt_from_captures(self) -> None:
        self.exempt.add(threading.get_ident())

    def create_stream(self) -> int:
        handle = next(self._handles)
        self._streams[handle] = []
        return handle

    def destroy_stream(self, stream: int) -> None:
        if self._known(stream):
            raise BrokenRule("a stream was destroyed with work on it")
        _take(self._streams, stream, "a stream")

    def copy_to_device(self, device: int, pinned: int, size: int, stream: int) -> None:
        self._views(device, pinned, size)

        def copy() -> None:
            target, source = self._views(device, pinned, size)
            target[:] = source

        self.put(stream, copy)

    def copy_to_host(self, pinned: int, device: int, size: int, stream: int) -> None:
        self._views(device, pinned, size)

        def copy() -> None:
            source, target = self._views(device, pinned, size)
            target[:] = source

        self.put(stream, copy)

    def synchronise(self, stream: int) -> None:
        if stream in self._captures:
            self._invalid.add(stream)
            raise InferenceFailed("cudaStreamSynchronize failed: not permitted when the stream is capturing")
        work, self._streams[stream] = self._known(stream), []
        for each in work:
            each()

    def begin_capture(self, stream: int) -> None:
        if self._known(stream):
            raise BrokenRule("a capture began with work on the stream")
        self._captures[stream] = threading.get_ident(), []

    def end_capture(self, stream: int) -> int:
        thread, recording = self._captures.pop(stream)
        if thread != threading.get_ident():
            raise BrokenRule("a capture was ended by another thread")
        if stream in self._invalid:
            self._invalid.remove(stream)
            raise InferenceFailed("cudaStreamEndCapture failed: the capture was invalidated")
        handle = next(self._handles)
        self._graphs[handle] = recording
        return handle

    def launch(self, graph: int, stream: int) -> None:
        if graph not in self._graphs:
            raise BrokenRule("a graph was launched that does not exist")
        for work in self._graphs[graph]:
            self.put(stream, work)
        self.launched += 1

    def destroy_graph(self, graph: int) -> None:
        _take(self._graphs, graph, "a graph")

    def held(self) -> dict[str, int]:
        """How many objects of each kind are not freed: {} after everything was closed."""
        kinds: dict[str, Sized] = {
            "device": self._device,
            "pinned": self._pinned,
            "streams": self._streams,
            "graphs": self._graphs,
        }
        return {name: len(held) for name, held in kinds.items() if held}

    def put(self, stream: int, work: Work) -> None:
        """Put work on the stream: to be done later, or recorded while the stream is being captured."""
        if stream in self._captures:
            self._captures[stream][1].append(work)
        else:
            self._known(stream).append(work)

    def capturing(self, stream: int) -> bool:
        """Whether the stream is being captured."""
        return stream in self._captures

    def invalidate(self, stream: int) -> None:
        """Invalidate the capture of a stream: something happened that cannot be recorded."""
        self._invalid.add(stream)

    def device_memory(self, address: int, size: int) -> NDArray[np.uint8]:
        """The device memory at an address, which must be inside one allocation."""
        return _part(self._device, address, size, "device memory")

    def _views(self, device: int, pinned: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Both sides of a copy. Memory that is not pinned would make the host wait, and invalidate a capture."""
        return self.device_memory(device, size), _part(self._pinned, pinned, size, "pinned memory")

    def _known(self, stream: int) -> list[Work]:
        if stream not in self._streams:
            raise BrokenRule("a stream was used that does not exist")
        return self._streams[stream]

    def _captures_here(self) -> bool:
        return any(thread == threading.get_ident() for thread, _ in list(self._captures.values()))


class FakeTensorRt(TensorRt):
    """Builds and loads plans.

    Attributes:
        version: in the form of the keys of plans.
        builds: the orders that were built, in turn.
        loads: how many plans were loaded.
    """

    version: str = ""

    def __init__(self, cuda: FakeCuda, version: str, captures: bool) -> None:
        self.version = version
        self.builds: list[BuildRequest] = []
        self.loads = 0
        self._cuda = cuda
        self._captures = captures
        self._complaints = [""]

    def build(self, request: BuildRequest, timing: Path, report: OnProgress) -> bytes:
        for step in range(3):
            report(BuildProgress("Building", step + 1, 3))
        timing.write_bytes(b"measured")
        self.builds.append(request)
        head = {"size": request.size, "batch": request.batch, "version": self.version}
        return MAGIC + json.dumps(head).encode() + b"\n" + request.model.read_bytes()

    def load(self, plan: bytes, where: str) -> "FakeEngine":
        head, _, model = plan.partition(b"\n")
        if not head.startswith(MAGIC):
            raise ModelRefused(
                f"{where}: TensorRT {self.version} does not take this plan: it was not built by the fake"
            )
        about = json.loads(head.removeprefix(MAGIC))
        if about["version"] != self.version:
            raise BrokenRule(f"a plan of {about['version']} was given to {self.version}")
        self.loads += 1
        return FakeEngine(model, tuple(about["size"]), tuple(about["batch"]))

    def context(self, engine: CudaEngine, memory: int, size: int) -> Context:
        assert isinstance(engine, FakeEngine), "the fake loaded it"
        if size < engine.device_memory_size_v2:
            raise BrokenRule(f"a context was given {size} bytes; expected {engine.device_memory_size_v2} or more")
        self._cuda.device_memory(memory, size)
        return FakeContext(engine, self._cuda, self._captures, self._complaints)

    def complaint(self) -> str:
        return self._complaints[-1]

    def dtype(self, engine: CudaEngine, name: str) -> np.dtype[Any]:
        assert isinstance(engine, FakeEngine), "the fake loaded it"
        return engine.dtypes[name]


class FakeEngine(CudaEngine):
    """A loaded plan. dtypes: of its tensors, by name; inputs, outputs: their names."""

    device_memory_size_v2: int = 4096
    num_io_tensors: int = 0

    def __init__(self, model: bytes, size: tuple[int, int], batch: tuple[int, int]) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        tensors = (*self.session.get_inputs(), *self.session.get_outputs())
        self.dtypes = {tensor.name: np.dtype(TYPES[tensor.type]) for tensor in tensors}
        self.inputs: list[str] = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs: list[str] = [tensor.name for tensor in self.session.get_outputs()]
        self._names = [*self.inputs, *self.outputs]
        self.num_io_tensors = len(self._names)
        self._rows = {tensor.name: tensor.shape[1:] for tensor in self.session.get_inputs()}
        self._rows["images"] = [*size[::-1], 3]
        self.batch = batch

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        if name not in self.inputs or profile_index != 0:
            raise BrokenRule(f"there is no profile {profile_index} of `{name}`")
        low, high = self.batch
        return [(count, *self._rows[name]) for count in (low, high, high)]


class FakeContext(Context):
    """An execution context. It refuses forbidden calls with False and a complaint."""

    def __init__(self, engine: FakeEngine, cuda: FakeCuda, captures: bool, complaints: list[str]) -> None:
        self._engine = engine
        self._cuda = cuda
        self._captures = captures
        self._complaints = complaints
        self._set: dict[str, tuple[int, ...]] = {}  # the shapes of inputs
        self._addresses: dict[str, int] = {}
        self._enqueued = False  # since the shape was last set
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._engine.get_tensor_profile_shape(name, 0)
        if len(shape) != len(low) or not all(a <= n <= b for a, n, b in zip(low, shape, high, strict=True)):
            return self._refuse(f"{shape} is outside the profile {low} to {high}")
        self._set[name], self._enqueued = shape, False
        if self._set.keys() == set(self._engine.inputs):
            zeros = {n: np.zeros(shape, self._engine.dtypes[n]) for n, shape in self._set.items()}
            blank = self._engine.session.run(None, zeros)
            self._shapes = self._set | {n: out.shape for n, out in zip(self._engine.outputs, blank, strict=True)}
        return True

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        return self._shapes[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine.dtypes:
            return self._refuse(f"there is no tensor `{name}`")
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if missing := [name for name in self._engine.dtypes if name not in self._addresses]:
            return self._refuse(f"no address is set for {', '.join(missing)}")
        if not self._shapes:
            return self._refuse("no shape is set for an input")
        if self._cuda.capturing(stream_handle):
            if not self._captures or not self._enqueued:
                self._cuda.invalidate(stream_handle)
                return self._refuse("it cannot be captured" if self._enqueued else "captured before it was enqueued")
        else:
            self._cuda.enqueued += 1
        self._enqueued = True
        shapes = self._shapes
        addresses = dict(self._addresses)

        def memory() -> dict[str, NDArray[np.uint8]]:
            return {n: self._cuda.device_memory(a, self._bytes(n)) for n, a in addresses.items()}

        def compute() -> None:
            views = memory()
            if self._shapes is not shapes:
                raise BrokenRule("the context was set to another shape while work or a graph of it was pending")
            inputs = {n: views[n].view(self._engine.dtypes[n]).reshape(shapes[n]) for n in self._engine.inputs}
            for name, out in zip(self._engine.outputs, self._engine.session.run(None, inputs), strict=True):
                views[name][:] = np.ascontiguousarray(out).view(np.uint8).ravel()

        memory()
        self._cuda.put(stream_handle, compute)
        return True

    def _bytes(self, name: str) -> int:
        return int(np.prod(self._shapes[name])) * self._engine.dtypes[name].itemsize

    def _refuse(self, why: str) -> bool:
        self._complaints.append(why)
        return False


def _add(held: dict[int, NDArray[np.uint8]], size: int) -> int:
    array = np.full(size, GARBAGE, np.uint8)
    held[array.ctypes.data] = array
    return int(array.ctypes.data)


def _take(held: MutableMapping[int, Any], handle: int, what: str) -> None:
    if handle not in held:
        raise BrokenRule(f"{what} was freed that does not exist")
    del held[handle]


def _part(held: dict[int, NDArray[np.uint8]], address: int, size: int, what: str) -> NDArray[np.uint8]:
    for start, array in list(held.items()):
        if start <= address and address + size <= start + array.size:
            return array[address - start : address - start + size]
    raise BrokenRule(f"{size} bytes at {address:#x} are not {what}")
