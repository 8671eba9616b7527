"""Runs a plan on one batch after another: copy in, compute, copy out, each as part of one CUDA graph.

Launching the graph costs one call where TensorRT alone launches some hundred kernels. A graph is made for each number
of pictures, when it first comes: TensorRT wants one plain run before a capture, and gives the results of that.

Each graph has a context of its own, because a context that is set to another shape spoils the graph that was captured
from it. The contexts share their working memory and the buffers: one stream runs one of them at a time.
"""

import logging
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.buffers import bytes_of, on_device, on_host
from watchline.engines.nvidia.interface import Context, CudaEngine, Gpu, Shape
from watchline.engines.nvidia.plan_graph import INPUT

log = logging.getLogger(__name__)


class PlanRunner:
    """Buffers, contexts and graphs of one worker over a loaded plan, which workers share. One thread uses it.

    Args:
        gpu: with its CUDA and TensorRT.
        engine: the loaded plan.
        outputs: the names of those to give.
        where: the file that errors name.

    Raises:
        ModelRefused: the plan has other tensors, or the size of one is known only when it has run.
        InferenceFailed: the device has no room.
    """

    def __init__(self, gpu: Gpu, engine: CudaEngine, outputs: tuple[str, ...], where: str) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        if missing := [name for name in (INPUT, *outputs) if name not in names]:
            raise ModelRefused(f"{where}: the plan has the tensors {', '.join(names)}, but no {', '.join(missing)}")
        self._gpu, self._cuda, self._engine, self._where = gpu, gpu.cuda, engine, where
        low, _, high = (_numbers(shape) for shape in engine.get_tensor_profile_shape(INPUT, 0))
        self.batch = (low[0], high[0])
        self._picture = high[1:]
        self._outputs = outputs
        self._graphs: dict[int, int | None] = {}
        self._contexts: dict[int, Context] = {}
        with ExitStack() as stack:
            self._stream = self._cuda.create_stream()
            stack.callback(self._cuda.destroy_stream, self._stream)
            size = max(1, engine.device_memory_size_v2)
            self._scratch = on_device(self._cuda, stack, size), size
            stack.callback(self._contexts.clear)  # before the memory that they work in
            self._buffers: dict[str, int] = {}
            self._pinned: dict[str, NDArray[Any]] = {}
            shapes = self._context(high[0])
            for name in names:
                shape = _numbers(shapes.get_tensor_shape(name))
                if min(shape, default=1) < 0:
                    raise ModelRefused(
                        f"{where}: the shape of `{name}` is {shape}, -1 being known only after a run; "
                        "export the model with fixed numbers of rows"
                    )
                dtype = gpu.tensorrt.dtype(engine, name)
                self._buffers[name] = on_device(self._cuda, stack, bytes_of(shape, dtype))
                if name in (INPUT, *outputs):
                    self._pinned[name] = on_host(self._cuda, stack, shape, dtype)
            self._bind(shapes)
            self._held = stack.pop_all()

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The outputs for (B, H, W, 3) pictures, B in `batch`, in arrays of their own.

        Raises:
            InferenceFailed: TensorRT or CUDA fails.
        """
        count = len(batch)
        self._pinned[INPUT][:count] = batch
        if (graph := self._graphs.get(count)) is not None:
            self._cuda.launch(graph, self._stream)
        else:
            self._enqueue(count)
        self._cuda.synchronise(self._stream)
        if count not in self._graphs:
            self._graphs[count] = self._capture(count)
        return {name: self._pinned[name][:count].copy() for name in self._outputs}

    def close(self) -> None:
        """Give everything back. Called once, when nothing runs."""
        for graph in self._graphs.values():
            if graph is not None:
                self._cuda.destroy_graph(graph)
        self._graphs.clear()
        self._pinned.clear()
        self._held.close()

    def _enqueue(self, count: int) -> None:
        """Put the work for `count` pictures on the stream."""
        context = self._contexts.get(count) or self._bind(self._context(count))
        self._cuda.copy_to_device(self._buffers[INPUT], *self._used(INPUT, count), self._stream)
        if not context.execute_async_v3(self._stream):
            raise self._failed("does not run it")
        for name in self._outputs:
            address, size = self._used(name, count)
            self._cuda.copy_to_host(address, self._buffers[name], size, self._stream)

    def _capture(self, count: int) -> int | None:
        """The graph of a run that was done before; None if the plan cannot be captured."""
        graph = None
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue(count)
            finally:
                graph = self._cuda.end_capture(self._stream)
        except InferenceFailed as error:
            if graph is not None:
                self._cuda.destroy_graph(graph)
            log.warning("%s: runs without a CUDA graph, which costs some time a batch: %s", self._where, error)
            return None
        return graph

    def _context(self, count: int) -> Context:
        context = self._gpu.tensorrt.context(self._engine, *self._scratch)
        if not context.set_input_shape(INPUT, (count, *self._picture)):
            raise self._failed(f"does not take {count} pictures at once")
        self._contexts[count] = context
        return context

    def _bind(self, context: Context) -> Context:
        for name, address in self._buffers.items():
            if not context.set_tensor_address(name, address):
                raise self._failed(f"does not take memory for `{name}`")
        return context

    def _used(self, name: str, count: int) -> tuple[int, int]:
        """Address and bytes of the part of a pinned buffer that `count` pictures need."""
        pinned = self._pinned[name]
        return pinned.ctypes.data, pinned[:count].nbytes

    def _failed(self, what: str) -> InferenceFailed:
        return InferenceFailed(f"{self._where}: TensorRT {what}: {self._gpu.tensorrt.complaint()}")


def _numbers(shape: Shape) -> tuple[int, ...]:
    return tuple(shape[i] for i in range(len(shape)))
