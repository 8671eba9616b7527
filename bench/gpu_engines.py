"""The sections of gpu.py about engines alone: whether their numbers are the CPU's, and how fast they are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import gpu_models
import numpy as np
from gpu_bench import (
    BATCHES,
    CORES,
    FEW,
    FP16,
    FP32,
    MODES,
    SEARCH,
    TF32,
    Bench,
    Mode,
    OpenEngine,
    attempt,
    noise,
    timed,
)
from tables import Table

from watchline import engines
from watchline.engines.engine import Engine
from watchline.measure.calibration import pictures
from watchline.measure.differences import Difference, of_outputs
from watchline.measure.speed.engine import bare_engine
from watchline.pipeline.stages.detector import Detector

PHOTOS = 32
CONF, IOU = 0.25, 0.45
NETWORKS = (gpu_models.yolov2, gpu_models.faster_rcnn)


def parity(bench: Bench, table: Table) -> None:
    """The shipped detector in every mode, and the other networks, compared with FP32 on the CPU."""
    _compare(bench, table, bench.shipped, (FP32,) if bench.quick else MODES)
    for make in () if bench.quick else NETWORKS:
        with attempt(table, make.__name__):
            _compare(bench, table, make(bench.work), (FP32,))


def _compare(bench: Bench, table: Table, model: Path, modes: tuple[Mode, ...]) -> None:
    with engines.load(model, "onnxruntime", bench.size_of(model), CORES) as engine:
        about, size = engine.metadata, engine.size
        photos = np.concatenate(pictures([str(bench.clip)], PHOTOS, about, size))
        truth = [engine.infer(photo[None]) for photo in photos]
    for mode in modes:
        bench.check()
        with attempt(table, mode.name), bench.open(model, mode, 16) as engine:
            found = [engine.infer(photos[first : first + 16]) for first in range(0, len(photos), 16)]
            together = {name: np.concatenate([piece[name] for piece in found]) for name in found[0]}
            total = Difference()
            for number, want in enumerate(truth):
                mine = {name: array[number : number + 1] for name, array in together.items()}
                total += of_outputs(want, mine, size, about.labels, CONF, IOU)
            name = _name(engine)
            counts = (total.matched, total.lost, total.extra)
            table.add(name, mode.name, len(photos), total.boxes, total.scores, *counts)


def engine(bench: Bench, table: Table) -> None:
    """The shipped detector in every mode."""
    for mode in (FP32,) if bench.quick else MODES:
        _measure(bench, table, bench.shipped, mode)
    for mode in (FP32, FP16):
        with attempt(table, f"{mode.name}, several workers"):
            in_parallel(bench, table, mode)
    with attempt(table, "CPU"):
        detector = Detector(runtime="onnxruntime", imgsz=bench.imgsz)
        rate = bare_engine(detector, 0.5 if bench.quick else 3.0)
        with detector.load() as one:
            table.add(_name(one), f"CPU, {CORES} engines of one thread each", 1, None, None, rate, None)
    if not engines.available()["tensorrt"].startswith("not available"):
        with attempt(table, "TensorRT"), engines.load(bench.shipped, "tensorrt", batch=max(BATCHES)) as plan:
            _time(bench, table, plan, "TensorRT, FP32", FEW)


def search(bench: Bench, table: Table) -> None:
    """How much cuDNN's search for the best kernels gains."""
    for mode in (FP32,) if bench.quick else SEARCH:
        _measure(bench, table, bench.shipped, mode)


def _measure(bench: Bench, table: Table, model: Path, mode: Mode, batches: tuple[int, ...] = ()) -> None:
    counts = bench.batches(batches or mode.batches)
    with attempt(table, f"{model.stem}, {mode.name}"), bench.open(model, mode, max(counts)) as engine:
        _time(bench, table, engine, mode.name, counts)


def _time(bench: Bench, table: Table, engine: Engine, mode: str, counts: tuple[int, ...]) -> None:
    for count in counts:
        bench.check()
        p50, p95, rate = timed(bench, partial(engine.infer, noise(engine, count)))
        network = timed(bench, partial(engine.network, count), 0.2)[0] if isinstance(engine, OpenEngine) else None
        table.add(_name(engine), mode, count, p50, p95, rate * count, network)


def in_parallel(bench: Bench, table: Table, mode: Mode, workers: int = 2, count: int = 16) -> None:
    """Several engines in their own threads, as the pipeline's workers: one copies while another computes."""
    count = 2 if bench.quick else count
    with ExitStack() as stack:
        loaded = [stack.enter_context(bench.open(bench.shipped, mode, count)) for _ in range(workers)]
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        batch = noise(loaded[0], count)
        times = list(pool.map(lambda engine: timed(bench, lambda: engine.infer(batch), 1.5), loaded))
    p50, p95 = (mean(each[column] for each in times) for column in (0, 1))
    name = _name(loaded[0])
    table.add(name, f"{mode.name}, {workers} workers", count, p50, p95, sum(each[2] for each in times) * count, None)


def networks(bench: Bench, table: Table) -> None:
    """The larger networks."""
    for make in NETWORKS:
        with attempt(table, make.__name__):
            model = make(bench.work)
            for mode in (FP32,) if bench.quick else (FP32, TF32, FP16):
                _measure(bench, table, model, mode, (1, 8, 32))


def by_torch(bench: Bench, table: Table) -> None:
    """Networks of models/, and YOLOv2-608 without decoding, on pictures that are on the device."""
    import torch
    from gpu_torch import networks as made

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if bench.cuda else "cpu")
    for name, side, network in made(bench.work, bench.quick):
        for kind in (torch.float32, torch.bfloat16):
            model = network.to(device, kind, memory_format=torch.channels_last)
            for count in bench.batches((1, 8, 32)):
                bench.check()
                batch = torch.rand(count, 3, side, side, device=device, dtype=kind)
                batch = batch.to(memory_format=torch.channels_last)
                run = _one_launch(model, batch) if bench.cuda else partial(model, batch)
                with torch.inference_mode():
                    p50, p95, rate = timed(bench, run)
                table.add(name, str(kind).removeprefix("torch."), count, p50, p95, rate * count, p50)


def _one_launch(model: Any, batch: Any) -> Callable[[], None]:
    """A function that runs the network as a CUDA graph, and waits for it."""
    import torch

    side = torch.cuda.Stream()
    with torch.inference_mode():
        with torch.cuda.stream(side):
            for _ in range(3):
                model(batch)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            model(batch)

    def run() -> None:
        graph.replay()
        torch.cuda.synchronize()

    return run


def _name(engine: Engine) -> str:
    width, height = engine.size
    return f"{engine.metadata.name} {width} x {height}"
