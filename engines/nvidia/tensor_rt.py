"""Runs models by TensorRT on an NVIDIA GPU: ONNX files, whose plan is built once and cached, and plans (.engine).

    with TensorRtEngine(Path("model.onnx"), batch=8) as engine:   # the first time, the build takes minutes
        ...

The workers of a process share one loaded plan. Each has its own contexts, buffers and stream (plan_runner.py).
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from watchline.engines.checked import CheckedEngine, in_pieces
from watchline.engines.contract import InputShape, choose_size
from watchline.engines.errors import RuntimeUnavailable
from watchline.engines.nvidia import plan
from watchline.engines.nvidia.find_gpu import find_gpu
from watchline.engines.nvidia.interface import CudaEngine, Gpu, OnProgress
from watchline.engines.nvidia.plan_runner import PlanRunner, largest
from watchline.engines.runtimes import for_cpus
from watchline.engines.tasks import TASKS


class TensorRtEngine(CheckedEngine):
    """A plan on a GPU.

    Args:
        path: of an ONNX file or of a plan.
        size: (width, height) in pixels, None for the model's own.
        batch: largest batch for the plan of an ONNX file. Larger batches are split.
        gpu: None for this machine's; tests have a fake (tests/fake_gpu.py).
        progress: called with the progress of a build; without it, the progress is logged.

    Raises:
        ModelNotFound, ModelRefused: there is no such file, it breaks the contract, or TensorRT does not accept it.
        RequestRefused: size or batch is not possible, or not the plan's.
        RuntimeUnavailable: there is no GPU or no driver, or TensorRT is too old.
        InferenceFailed: a build was stopped or crashed, or the GPU has not enough memory.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        batch: int = 1,
        gpu: Gpu | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        gpu = gpu or find_gpu()
        if path.suffix.lower() == ".engine":
            found = plan.from_file(path, gpu, progress)
            width, height = found.sidecar.key.size
            choose_size(InputShape("batch", height, width), found.sidecar.metadata, size, str(path))
        else:
            found = plan.from_model(path, size, batch, gpu, progress)
        self._loaded = _share(found, gpu)
        about, (low, high) = found.sidecar.metadata, found.sidecar.key.batch
        self._most = high
        runtime = f"tensorrt {gpu.tensorrt.version} {gpu.name}"
        fixed = high if low == high > 1 else None
        names = tuple(tensor.name for tensor in TASKS[about.task].inputs)
        others = {name: largest(self._loaded.engine, name)[1:] for name in names[1:]}
        super().__init__(str(path), about, found.sidecar.key.size, runtime, fixed, others)
        self._separate()

    def _separate(self) -> None:
        inputs = tuple(self._rows)
        self._runner = PlanRunner(self._loaded.gpu, self._loaded.engine, inputs, self._names, self._where)

    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        pieces = [self._runner.run(piece) for piece in in_pieces(inputs, self._most)]
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def warm_up(self) -> None:
        """Run the smallest and the largest batch of the plan, so that their graphs are captured."""
        for count in sorted(self._runner.batch):
            self.infer(self._blank(count))

    def _release(self) -> None:
        self._runner.close()
        del self._runner, self._loaded  # the last reference frees the plan


def load(path: Path, size: tuple[int, int] | None, threads: int, batch: int) -> TensorRtEngine:
    """The engine of a file, on the GPU of this machine. It has no use for threads."""
    try:
        gpu = find_gpu()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(f"{path}: {error}; or run an .onnx by {for_cpus()}") from error
    return TensorRtEngine(path, size, batch, gpu)


def version() -> str:
    """TensorRT's version and the GPU, e.g. "11.4.0 (NVIDIA L4)". Raises RuntimeUnavailable, see `find_gpu`."""
    gpu = find_gpu()
    return f"{gpu.tensorrt.version} ({gpu.name})"


def writer() -> Callable[[Path, Path, int], tuple[Path, ...]]:
    """The function that builds plans for the GPU of this machine. Raises RuntimeUnavailable: there is none."""
    return partial(_write, gpu=plan.gpu_to_build_for())


def _write(model: Path, file: Path, batch: int, gpu: Gpu) -> tuple[Path, ...]:
    beside = file.with_suffix(".onnx")  # from which the plan is built again for another GPU or version
    model.replace(beside)
    plan.build(beside, file, batch, gpu=gpu)
    return (file,)


class _Loaded:
    """A plan that TensorRT has loaded. It is freed with the last engine that refers to it."""

    def __init__(self, engine: CudaEngine, gpu: Gpu) -> None:
        self.engine = engine
        self.gpu = gpu  # kept alive, so that no other GPU object gets its id


_loaded: "WeakValueDictionary[tuple[int, str], _Loaded]" = WeakValueDictionary()
_loading = threading.Lock()


def _share(found: plan.Plan, gpu: Gpu) -> _Loaded:
    """The loaded plan. The first caller loads it; others share it if its bytes and the GPU are the same."""
    key = id(gpu), found.sidecar.sha256
    with _loading:
        loaded = _loaded.get(key)
        if loaded is None:
            loaded = _loaded[key] = _Loaded(gpu.tensorrt.load(found.content, found.where), gpu)
        return loaded
