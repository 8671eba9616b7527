"""Memory, streams and graphs of the first GPU that CUDA shows, by NVIDIA's thin bindings (no PyTorch).

The environment variable CUDA_VISIBLE_DEVICES decides which GPU is the first one.
"""

from typing import Any

from cuda.bindings import runtime

from watchline.engines.errors import InferenceFailed


class CudaMemory:
    """Implements the Cuda protocol (interface.py)."""

    def allocate(self, size: int) -> int:
        return int(_checked("cudaMalloc", runtime.cudaMalloc(size)))

    def free(self, address: int) -> None:
        _checked("cudaFree", runtime.cudaFree(address))

    def allocate_pinned(self, size: int) -> int:
        return int(_checked("cudaHostAlloc", runtime.cudaHostAlloc(size, runtime.cudaHostAllocDefault)))

    def free_pinned(self, address: int) -> None:
        _checked("cudaFreeHost", runtime.cudaFreeHost(address))

    def exempt_from_captures(self) -> None:
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _checked("cudaThreadExchangeStreamCaptureMode", runtime.cudaThreadExchangeStreamCaptureMode(mode))

    def create_stream(self) -> int:
        # The default stream cannot be captured, and a blocking stream waits for everything on the default stream.
        made = runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking)
        return int(_checked("cudaStreamCreateWithFlags", made))

    def destroy_stream(self, stream: int) -> None:
        _checked("cudaStreamDestroy", runtime.cudaStreamDestroy(stream))

    def copy_to_device(self, device: int, pinned: int, size: int, stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        _checked("cudaMemcpyAsync", runtime.cudaMemcpyAsync(device, pinned, size, kind, stream))

    def copy_to_host(self, pinned: int, device: int, size: int, stream: int) -> None:
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _checked("cudaMemcpyAsync", runtime.cudaMemcpyAsync(pinned, device, size, kind, stream))

    def synchronise(self, stream: int) -> None:
        _checked("cudaStreamSynchronize", runtime.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: int) -> None:
        # Thread-local, because in the global mode an allocation by another worker invalidates the recording.
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _checked("cudaStreamBeginCapture", runtime.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> int:
        recording = _checked("cudaStreamEndCapture", runtime.cudaStreamEndCapture(stream))
        try:
            return int(_checked("cudaGraphInstantiate", runtime.cudaGraphInstantiate(recording, 0)))
        finally:
            _checked("cudaGraphDestroy", runtime.cudaGraphDestroy(recording))

    def launch(self, graph: int, stream: int) -> None:
        _checked("cudaGraphLaunch", runtime.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: int) -> None:
        _checked("cudaGraphExecDestroy", runtime.cudaGraphExecDestroy(graph))


def _checked(call: str, answer: tuple[Any, ...]) -> Any:
    """The values that CUDA returned with its error code. Raises InferenceFailed: the code is not 0."""
    code, *values = answer
    if code != runtime.cudaError_t.cudaSuccess:
        _, text = runtime.cudaGetErrorString(code)
        full = code == runtime.cudaError_t.cudaErrorMemoryAllocation
        hint = "; lower the workers, the batch or the size" if full else ""
        raise InferenceFailed(f"{call} failed: {text.decode(errors='replace')} (CUDA error {int(code)}){hint}")
    return values[0] if values else None
