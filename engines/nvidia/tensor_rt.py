"""Runs models by TensorRT on an NVIDIA GPU: ONNX files, whose plan is built once and kept, and plans (.engine).

    with TensorRtEngine(Path("model.onnx"), batch=8) as engine:   # builds for minutes the first time
        ...

Workers of a process share one loaded plan; each has contexts, buffers and a stream of its own (plan_runner.py).
"""

import threading
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from watchline.engines.checked import GREY, CheckedEngine
from watchline.engines.contract import OUTPUTS, InputShape, choose_size
from watchline.engines.nvidia import plan
from watchline.engines.nvidia.find_gpu import find_gpu
from watchline.engines.nvidia.interface import CudaEngine, Gpu, Report
from watchline.engines.nvidia.plan_runner import PlanRunner


class TensorRtEngine(CheckedEngine):
    """A plan on a GPU.

    Args:
        path: of an ONNX file or of a plan.
        size: (width, height) in pixels, None for the model's own.
        batch: the most pictures that the plan of an ONNX file takes at once; larger batches are run in parts.
        gpu: None for the one that is there; tests have a fake (tests/fake_gpu.py).
        progress: hears how far the building of a plan is; without it, the log does.

    Raises:
        ModelNotFound, ModelRefused: there is no such file, or it breaks the contract, or TensorRT does not take it.
        RequestRefused: size or batch cannot be, or are not the plan's.
        RuntimeUnavailable: no GPU, no driver, or TensorRT is too old.
        InferenceFailed: a build was stopped or crashed, or the GPU has no room.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        batch: int = 1,
        gpu: Gpu | None = None,
        progress: Report | None = None,
    ) -> None:
        gpu = gpu or find_gpu()
        if path.suffix.lower() == ".engine":
            found = plan.from_file(path, gpu, progress)
            width, height = found.known.key.size
            choose_size(InputShape("batch", height, width), found.known.metadata, size, str(path))
        else:
            found = plan.from_model(path, size, batch, gpu, progress)
        self._loaded = _share(found, gpu)
        about, (low, high) = found.known.metadata, found.known.key.batch
        self._runner = PlanRunner(gpu, self._loaded.engine, OUTPUTS[about.task], str(path))
        self._most = high
        runtime = f"tensorrt {gpu.tensorrt.version} {gpu.name}"
        super().__init__(str(path), about, found.known.key.size, runtime, high if low == high > 1 else None)

    def _run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        parts = [self._runner.run(batch[first : first + self._most]) for first in range(0, len(batch), self._most)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}

    def warm_up(self) -> None:
        """Runs the least and the most pictures that the plan takes, so that their graphs are there."""
        width, height = self.size
        for count in sorted(self._runner.batch):
            self.infer(np.full((count, height, width, 3), GREY, np.uint8))

    def _release(self) -> None:
        self._runner.close()
        del self._runner, self._loaded  # the last worker's frees the plan


class _Loaded:
    """A plan in TensorRT's hands; gone with the last engine that holds it."""

    def __init__(self, engine: CudaEngine, gpu: Gpu) -> None:
        self.engine = engine
        self.gpu = gpu  # lives as long, so that no other has its id


_loaded: "WeakValueDictionary[tuple[int, str], _Loaded]" = WeakValueDictionary()
_loading = threading.Lock()


def _share(found: plan.Plan, gpu: Gpu) -> _Loaded:
    """The plan, loaded by whoever comes first. Only same bytes are shared, and only on one GPU."""
    key = id(gpu), found.known.sha256
    with _loading:
        loaded = _loaded.get(key)
        if loaded is None:
            loaded = _loaded[key] = _Loaded(gpu.tensorrt.load(found.content, found.where), gpu)
        return loaded
