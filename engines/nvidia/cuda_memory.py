"""Memory, streams and graphs of the first GPU that CUDA shows, by NVIDIA's thin bindings (no PyTorch).

Which GPU is the first one is set from outside, by CUDA_VISIBLE_DEVICES.
"""

from typing import Any

from cuda.bindings import runtime

from watchline.engines.errors import InferenceFailed


class CudaMemory:
    """The Cuda protocol (interface.py)."""

    def allocate(self, size: int) -> int:
        return int(_asked("cudaMalloc", runtime.cudaMalloc(size)))

    def free(self, address: int) -> None:
        _asked("cudaFree", runtime.cudaFree(address))

    def allocate_pinned(self, size: int) -> int:
        return int(_asked("cudaHostAlloc", runtime.cudaHostAlloc(size, runtime.cudaHostAllocDefault)))

    def free_pinned(self, address: int) -> None:
        _asked("cudaFreeHost", runtime.cudaFreeHost(address))

    def mind_own_captures(self) -> None:
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _asked("cudaThreadExchangeStreamCaptureMode", runtime.cudaThreadExchangeStreamCaptureMode(mode))

    def create_stream(self) -> int:
        # The default stream cannot be captured, and a blocking one waits for whatever else uses the default stream.
        made = runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking)
        return int(_asked("cudaStreamCreateWithFlags", made))

    def destroy_stream(self, stream: int) -> None:
        _asked("cudaStreamDestroy", runtime.cudaStreamDestroy(stream))

    def copy_to_device(self, device: int, pinned: int, size: int, stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        _asked("cudaMemcpyAsync", runtime.cudaMemcpyAsync(device, pinned, size, kind, stream))

    def copy_to_host(self, pinned: int, device: int, size: int, stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _asked("cudaMemcpyAsync", runtime.cudaMemcpyAsync(pinned, device, size, kind, stream))

    def synchronise(self, stream: int) -> None:
        _asked("cudaStreamSynchronize", runtime.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: int) -> None:
        # Of this thread: in the global mode, memory that another worker allocates meanwhile spoils the recording.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _asked("cudaStreamBeginCapture", runtime.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> int:
        recording = _asked("cudaStreamEndCapture", runtime.cudaStreamEndCapture(stream))
        try:
            return int(_asked("cudaGraphInstantiate", runtime.cudaGraphInstantiate(recording, 0)))
        finally:
            _asked("cudaGraphDestroy", runtime.cudaGraphDestroy(recording))

    def launch(self, graph: int, stream: int) -> None:
        _asked("cudaGraphLaunch", runtime.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: int) -> None:
        _asked("cudaGraphExecDestroy", runtime.cudaGraphExecDestroy(graph))


def _asked(call: str, answer: tuple[Any, ...]) -> Any:
    """What CUDA gave beside its error code, if that is 0. Raises InferenceFailed: it is not."""
    code, *values = answer
    if code != runtime.cudaError_t.cudaSuccess:
        _, text = runtime.cudaGetErrorString(code)
        full = code == runtime.cudaError_t.cudaErrorMemoryAllocation
        hint = "; lower the workers, the batch or the size" if full else ""
        raise InferenceFailed(f"{call} failed: {text.decode(errors='replace')} (CUDA error {int(code)}){hint}")
    return values[0] if values else None
