"""The sections of gpu.py about video: decoding alone, and the whole chain."""

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from clips import scaled
from gpu_bench import CORES, FP32, Bench, attempt, nvidia_smi
from gpu_engines import in_parallel
from rate import rate_of
from tables import Table

from watchline.pipeline.job import Job
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.watch import Watch
from watchline.streams.file import FileSource
from watchline.streams.write.mp4 import Mp4Sink


def decode(bench: Bench, table: Table) -> None:
    """Frames per second of a 720p file in H.264."""
    clip = scaled(bench.clip, "720p", 30 if bench.quick else 300, bench.work)
    many = 2 if bench.quick else CORES
    table.add("CPU, 1 thread", 1, _decoded([clip], None))
    table.add(f"CPU, 1 thread per file, {CORES} cores", many, _decoded([clip] * many, None))
    if not bench.cuda:
        return
    for name, owned in (("GPU, copied to the host", False), ("GPU, kept there", True)):
        with attempt(table, name):
            for count in (1, 4, 16):
                bench.check()
                table.add(name, count, _decoded([clip] * count, owned))


def _decoded(clips: list[Path], owned: bool | None) -> float:
    """Frames per second of all files at once.

    Args:
        owned: None for the CPU; otherwise the GPU decodes, and this says whether it keeps the frames.
    """

    def frames(clip: Path) -> int:
        accel = None if owned is None else HWAccel("cuda", allow_software_fallback=False, is_hw_owned=owned)
        with av.open(str(clip), hwaccel=accel, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if accel is None:
                stream.thread_count = 1
            return sum(1 for _ in container.decode(stream))

    with ThreadPoolExecutor(len(clips)) as pool:
        began = time.perf_counter()
        return sum(pool.map(frames, clips)) / (time.perf_counter() - began)


def chain(bench: Bench, table: Table) -> None:
    """Files at once through the pipeline, and its bare engines for comparison."""
    batch, workers = (2, 1) if bench.quick else (16, 2)
    clip = scaled(bench.clip, "720p", 30 if bench.quick else 600, bench.work)
    bare = Table("bare", ("model", "mode", "batch", "p50", "p95", "rate", "network"))
    in_parallel(bench, bare, FP32, workers, batch)
    engines = float(str(bare.rows[0][5]))
    table.add("the bare engines", workers, engines, 1.0, None, None, "")
    runtime: Any = "cuda" if bench.cuda else "onnxruntime"
    detector = Detector(runtime=runtime, workers=workers, batch=batch, imgsz=bench.imgsz)
    for video in (None, Mp4Sink(preset="ultrafast")):
        for streams in (1, 2) if bench.quick else (1, 4, 16):
            bench.check()
            name = "detected, drawn, encoded" if video else "detected"
            with attempt(table, f"{name}, {streams} streams"), _watched(bench) as busy:
                rate, frames, verdict = _job([FileSource(clip, f"stream{n}") for n in range(streams)], detector, video)
                table.add(name, streams, rate, rate / engines, frames, max(busy, default=None), verdict)


def _job(sources: list[FileSource], detector: Detector, video: Mp4Sink | None) -> tuple[float, int, str]:
    """Frames per second from the first frame written to the last, their number, and what limited the speed."""
    with tempfile.TemporaryDirectory() as folder:
        stages = [detector, Annotator()] if video else [detector]
        job = Watch(Job(sources, stages, [Files(Path(folder), video)]))
        rate, frames = rate_of(job)
    return rate, frames, job.report.verdict.partition(";")[0]


@contextmanager
def _watched(bench: Bench) -> Iterator[list[float]]:
    """GPU utilisation in percent, sampled twice per second while the block runs; empty without a GPU."""
    samples: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            samples.append(float(nvidia_smi("utilization.gpu").split()[0]))

    thread = threading.Thread(target=watch, daemon=True)
    if bench.cuda:
        thread.start()
    try:
        yield samples
    finally:
        over.set()
        if bench.cuda:
            thread.join()
