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
from gpu_engines import side_by_side
from tables import Table

from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.watch import Watch
from watchline.streams.file import FileSource
from watchline.streams.write.mp4 import Mp4Sink


def decode(bench: Bench, table: Table) -> None:
    """Frames a second of a 720p file in H.264."""
    clip = scaled(bench.clip, "720p", 30 if bench.quick else 300, bench.work)
    many = 2 if bench.quick else CORES
    table.add("CPU, 1 thread", 1, _decoded([clip], None))
    table.add(f"CPU, 1 thread a file, {CORES} cores", many, _decoded([clip] * many, None))
    if not bench.cuda:
        return
    for name, owned in (("GPU, copied to the host", False), ("GPU, left there", True)):
        with attempt(table, name):
            for count in (1, 4, 16):
                bench.check()
                table.add(name, count, _decoded([clip] * count, owned))


def _decoded(clips: list[Path], owned: bool | None) -> float:
    """Frames a second of all files at once.

    Args:
        owned: None for the CPU; else the GPU decodes, and keeps the frames, or not.
    """

    def frames(clip: Path) -> int:
        accel = None if owned is None else HWAccel("cuda", allow_software_fallback=False, is_hw_owned=owned)
        with av.open(str(clip), hwaccel=accel) as container:
            stream = container.streams.video[0]
            if accel is None:
                stream.thread_count = 1
            return sum(1 for _ in container.decode(stream))

    with ThreadPoolExecutor(len(clips)) as pool:
        began = time.perf_counter()
        return sum(pool.map(frames, clips)) / (time.perf_counter() - began)


def chain(bench: Bench, table: Table) -> None:
    """Files at once through the pipeline, beside its engines with nothing around them."""
    batch, workers = (2, 1) if bench.quick else (16, 2)
    clip = scaled(bench.clip, "720p", 30 if bench.quick else 600, bench.work)
    bare = Table("bare", ("model", "run as", "batch", "p50", "p95", "rate", "network"))
    side_by_side(bench, bare, FP32, workers, batch)
    alone = float(str(bare.rows[0][5]))
    table.add("the bare engines", workers, alone, 1.0, None, None, "")
    runtime: Any = "cuda" if bench.cuda else "onnxruntime"
    detector = Detector(runtime=runtime, workers=workers, batch=batch, imgsz=bench.imgsz)
    for video in (None, Mp4Sink(preset="ultrafast")):
        for streams in (1, 2) if bench.quick else (1, 4, 16):
            bench.check()
            name = "detected, drawn, encoded" if video else "detected"
            with attempt(table, f"{name}, {streams} streams"), _watched(bench) as busy:
                rate, frames, verdict = _job([FileSource(clip, f"stream{n}") for n in range(streams)], detector, video)
                table.add(name, streams, rate, rate / alone, frames, max(busy, default=None), verdict)


def _job(sources: list[FileSource], detector: Detector, video: Mp4Sink | None) -> tuple[float, int, str]:
    """Frames a second from the first frame written to the last, how many there were, and what limited."""
    with tempfile.TemporaryDirectory() as folder:
        job = Watch(sources, detector, Annotator(), Path(folder), video)
        times = [time.perf_counter() for progress in job.run() if not progress.ended]
    if wrong := [outcome.error for outcome in job.outcomes if outcome.error]:
        raise RuntimeError(wrong[0])
    return (len(times) - 1) / (times[-1] - times[0]), len(times), job.report.verdict.partition(";")[0]


@contextmanager
def _watched(bench: Bench) -> Iterator[list[float]]:
    """GPU utilisation in percent, looked at twice a second while the block runs; nothing without a GPU."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            seen.append(float(nvidia_smi("utilization.gpu").split()[0]))

    thread = threading.Thread(target=look, daemon=True)
    if bench.cuda:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        if bench.cuda:
            thread.join()
