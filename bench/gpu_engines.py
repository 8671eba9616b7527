"""The sections of gpu.py about engines alone: the same numbers as the CPU's, and how fast they come."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import gpu_models
import numpy as np
from bare import bare_engine
from gpu_bench import BATCHES, CORES, FEW, FP16, FP32, SEARCH, TF32, WAYS, Bench, OpenEngine, Way, attempt, noise, timed
from tables import Table

from watchline import engines
from watchline.engines.engine import Engine
from watchline.measure.calibration import pictures
from watchline.measure.differences import Difference, of_outputs
from watchline.pipeline.stages.detector import Detector

PHOTOS = 32
CONF, IOU = 0.25, 0.45
NETWORKS = (gpu_models.yolov2, gpu_models.faster_rcnn)


def parity(bench: Bench, table: Table) -> None:
    """The shipped detector in every way, and the other networks, against FP32 on the CPU."""
    _compare(bench, table, bench.shipped, (FP32,) if bench.quick else WAYS)
    for make in () if bench.quick else NETWORKS:
        with attempt(table, make.__name__):
            _compare(bench, table, make(bench.work), (FP32,))


def _compare(bench: Bench, table: Table, model: Path, ways: tuple[Way, ...]) -> None:
    with engines.load(model, "onnxruntime", bench.size_of(model), CORES) as engine:
        about, size = engine.metadata, engine.size
        photos = np.concatenate(pictures([str(bench.clip)], PHOTOS, about, size))
        truth = [engine.infer(photo[None]) for photo in photos]
    for way in ways:
        bench.check()
        with attempt(table, way.name), bench.open(model, way, 16) as engine:
            found = [engine.infer(photos[first : first + 16]) for first in range(0, len(photos), 16)]
            whole = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
            far = Difference()
            for number, want in enumerate(truth):
                mine = {name: array[number : number + 1] for name, array in whole.items()}
                far += of_outputs(want, mine, size, about.labels, CONF, IOU)
            name = _name(engine)
            table.add(name, way.name, len(photos), far.boxes, far.scores, far.matched, far.lost, far.extra)


def engine(bench: Bench, table: Table) -> None:
    """The shipped detector in every way."""
    for way in (FP32,) if bench.quick else WAYS:
        _measure(bench, table, bench.shipped, way)
    for way in (FP32, FP16):
        with attempt(table, f"{way.name} side by side"):
            side_by_side(bench, table, way)
    with attempt(table, "CPU"):
        detector = Detector(runtime="onnxruntime", imgsz=bench.imgsz)
        rate = bare_engine(detector, 0.5 if bench.quick else 3.0)
        with detector.load() as one:
            table.add(_name(one), f"CPU, {CORES} engines of a thread each", 1, None, None, rate, None)
    if not engines.available()["tensorrt"].startswith("not available"):
        with attempt(table, "TensorRT"), engines.load(bench.shipped, "tensorrt", batch=max(BATCHES)) as plan:
            _time(bench, table, plan, "TensorRT, FP32", FEW)


def search(bench: Bench, table: Table) -> None:
    """What the choice of kernels is worth."""
    for way in (FP32,) if bench.quick else SEARCH:
        _measure(bench, table, bench.shipped, way)


def _measure(bench: Bench, table: Table, model: Path, way: Way, batches: tuple[int, ...] = ()) -> None:
    counts = bench.batches(batches or way.batches)
    with attempt(table, f"{model.stem}, {way.name}"), bench.open(model, way, max(counts)) as engine:
        _time(bench, table, engine, way.name, counts)


def _time(bench: Bench, table: Table, engine: Engine, way: str, counts: tuple[int, ...]) -> None:
    for count in counts:
        bench.check()
        p50, p95, rate = timed(bench, partial(engine.infer, noise(engine, count)))
        network = timed(bench, partial(engine.network, count), 0.2)[0] if isinstance(engine, OpenEngine) else None
        table.add(_name(engine), way, count, p50, p95, rate * count, network)


def side_by_side(bench: Bench, table: Table, way: Way, workers: int = 2, count: int = 16) -> None:
    """Several engines in threads of their own, as the pipeline's workers are: one copies while another computes."""
    count = 2 if bench.quick else count
    with ExitStack() as stack:
        loaded = [stack.enter_context(bench.open(bench.shipped, way, count)) for _ in range(workers)]
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        batch = noise(loaded[0], count)
        times = list(pool.map(lambda engine: timed(bench, lambda: engine.infer(batch), 1.5), loaded))
    p50, p95 = (mean(each[place] for each in times) for place in (0, 1))
    name = _name(loaded[0])
    table.add(name, f"{way.name}, {workers} workers", count, p50, p95, sum(each[2] for each in times) * count, None)


def networks(bench: Bench, table: Table) -> None:
    """The larger ones."""
    for make in NETWORKS:
        with attempt(table, make.__name__):
            model = make(bench.work)
            for way in (FP32,) if bench.quick else (FP32, TF32, FP16):
                _measure(bench, table, model, way, (1, 8, 32))


def by_torch(bench: Bench, table: Table) -> None:
    """Networks of models/ and YOLOv2-608 up to their decoding, pictures on the device."""
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
    """The network as a CUDA graph, which is waited for."""
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
