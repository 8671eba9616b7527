"""Runs a plan on one batch after another. Copy in, compute and copy out are one CUDA graph.

Launching the graph takes one call, where TensorRT alone launches some hundred kernels. A graph is captured for each
number of pictures when it first occurs. TensorRT needs one plain run before a capture, and that run gives the results.

Each graph has a context of its own, because setting a context to another shape invalidates the graph that was captured
from it. The contexts share their working memory and the buffers, because one stream runs one of them at a time.
"""

import logging
from contextlib import ExitStack
from typing import Any

from numpy.typing import NDArray

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.buffers import bytes_of, on_device, on_host
from watchline.engines.nvidia.interface import Context, CudaEngine, Dims, Gpu

log = logging.getLogger(__name__)


class PlanRunner:
    """Buffers, contexts and graphs of one worker. Workers share the loaded plan. One thread uses a runner.

    Args:
        gpu: with its CUDA and TensorRT.
        engine: the loaded plan.
        inputs: names of the inputs, the pictures first.
        outputs: names of the outputs to return.
        where: the file that errors name.

    Raises:
        ModelRefused: the plan has other tensors, or the size of one is known only after a run.
        InferenceFailed: the device has not enough memory.
    """

    def __init__(
        self, gpu: Gpu, engine: CudaEngine, inputs: tuple[str, ...], outputs: tuple[str, ...], where: str
    ) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        if missing := [name for name in (*inputs, *outputs) if name not in names]:
            raise ModelRefused(f"{where}: the plan has the tensors {', '.join(names)}, but no {', '.join(missing)}")
        self._gpu, self._cuda, self._engine, self._where = gpu, gpu.cuda, engine, where
        low, _, high = engine.get_tensor_profile_shape(inputs[0], 0)
        self.batch = (low[0], high[0])
        self._rows = {name: largest(engine, name)[1:] for name in inputs}
        self._outputs = outputs
        self._graphs: dict[int, int | None] = {}
        self._contexts: dict[int, Context] = {}
        with ExitStack() as stack:
            self._stream = self._cuda.create_stream()
            stack.callback(self._cuda.destroy_stream, self._stream)
            size = max(1, engine.device_memory_size_v2)
            self._scratch = on_device(self._cuda, stack, size), size
            stack.callback(self._contexts.clear)  # before their working memory is freed
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
                if name in (*inputs, *outputs):
                    self._pinned[name] = on_host(self._cuda, stack, shape, dtype)
            self._bind(shapes)
            self._held = stack.pop_all()

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs for inputs of B rows each, B within `batch`, in new arrays.

        Raises:
            InferenceFailed: TensorRT or CUDA fails.
        """
        count = len(next(iter(inputs.values())))
        for name, rows in inputs.items():
            self._pinned[name][:count] = rows
        if (graph := self._graphs.get(count)) is not None:
            self._cuda.launch(graph, self._stream)
        else:
            self._enqueue(count)
        self._cuda.synchronise(self._stream)
        if count not in self._graphs:
            self._graphs[count] = self._capture(count)
        return {name: self._pinned[name][:count].copy() for name in self._outputs}

    def close(self) -> None:
        """Free everything. It is called once, when nothing runs."""
        for graph in self._graphs.values():
            if graph is not None:
                self._cuda.destroy_graph(graph)
        self._graphs.clear()
        self._pinned.clear()
        self._held.close()

    def _enqueue(self, count: int) -> None:
        """Put the work for `count` pictures on the stream."""
        context = self._contexts.get(count) or self._bind(self._context(count))
        for name in self._rows:
            self._cuda.copy_to_device(self._buffers[name], *self._used(name, count), self._stream)
        if not context.execute_async_v3(self._stream):
            raise self._failed("does not run it")
        for name in self._outputs:
            address, size = self._used(name, count)
            self._cuda.copy_to_host(address, self._buffers[name], size, self._stream)

    def _capture(self, count: int) -> int | None:
        """Capture the graph of a run, after a plain run of the same size; None if the plan cannot be captured."""
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
            log.warning("%s: runs without a CUDA graph, which costs some time per batch: %s", self._where, error)
            return None
        return graph

    def _context(self, count: int) -> Context:
        context = self._gpu.tensorrt.context(self._engine, *self._scratch)
        for name, row in self._rows.items():
            if not context.set_input_shape(name, (count, *row)):
                raise self._failed(f"does not take {count} pictures at once")
        self._contexts[count] = context
        return context

    def _bind(self, context: Context) -> Context:
        for name, address in self._buffers.items():
            if not context.set_tensor_address(name, address):
                raise self._failed(f"does not take memory for `{name}`")
        return context

    def _used(self, name: str, count: int) -> tuple[int, int]:
        """Address and number of the bytes of a pinned buffer that `count` pictures need."""
        pinned = self._pinned[name]
        return pinned.ctypes.data, pinned[:count].nbytes

    def _failed(self, what: str) -> InferenceFailed:
        return InferenceFailed(f"{self._where}: TensorRT {what}: {self._gpu.tensorrt.complaint()}")


def largest(engine: CudaEngine, name: str) -> tuple[int, ...]:
    """The shape of an input in the largest batch."""
    return _numbers(engine.get_tensor_profile_shape(name, 0)[2])


def _numbers(shape: Dims) -> tuple[int, ...]:
    return tuple(shape[i] for i in range(len(shape)))
