"""The real GPU: TensorRT, 10.12 or later, and CUDA (cuda_memory.py). find_gpu.py returns it, after asking the driver.

It uses only the API that 10.12 and 11 have in common: strongly typed networks, named tensors, `execute_async_v3`.
"""

import threading
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorrt as trt

from watchline.engines.errors import InferenceFailed, ModelRefused, RuntimeUnavailable
from watchline.engines.nvidia import build_process
from watchline.engines.nvidia.cuda_memory import CudaMemory
from watchline.engines.nvidia.interface import BuildRequest, Context, CudaEngine, Gpu, OnProgress
from watchline.engines.nvidia.tensor_rt_log import messages
from watchline.extras import command

OLDEST = (10, 12)


@cache
def real(name: str) -> Gpu:
    """The GPU of this name, which exists. Raises RuntimeUnavailable: TensorRT is too old."""
    if tuple(int(part) for part in trt.__version__.split(".")[:2]) < OLDEST:
        raise RuntimeUnavailable(
            f"TensorRT {trt.__version__} is too old, expected {'.'.join(map(str, OLDEST))} or later: "
            f"{command('tensorrt')}"
        )
    return Gpu(name, CudaMemory(), NvidiaTensorRt())


class NvidiaTensorRt:
    """Implements the TensorRt protocol (interface.py)."""

    def __init__(self) -> None:
        self.version = trt.__version__
        self._messages = messages()
        self._runtime = trt.Runtime(self._messages)
        self._lock = threading.Lock()  # workers create contexts of one engine at the same time

    def build(self, request: BuildRequest, timing: Path, report: OnProgress) -> bytes:
        return build_process.build(request, timing, report)

    def load(self, plan: bytes, where: str) -> CudaEngine:
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelRefused(f"{where}: TensorRT {self.version} does not take this plan: {self._messages.error()}")
        return engine

    def context(self, engine: CudaEngine, memory: int, size: int) -> Context:
        real = cast(trt.ICudaEngine, engine)  # `load` returned it
        with self._lock:
            context = real.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise InferenceFailed(f"TensorRT {self.version} gives no execution context: {self._messages.error()}")
        context.set_device_memory(memory, size)
        return context

    def complaint(self) -> str:
        return self._messages.error()

    def dtype(self, engine: CudaEngine, name: str) -> np.dtype[Any]:
        kind = cast(trt.ICudaEngine, engine).get_tensor_dtype(name)
        try:
            return np.dtype(trt.nptype(kind))
        except TypeError:
            raise ModelRefused(f"the plan's tensor `{name}` is of {kind}, which NumPy does not have") from None
