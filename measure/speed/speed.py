"""Measures a chain: its parts one by one, its bare engine, and all of it at work."""

from collections.abc import Sequence
from pathlib import Path

from watchline.engines.cores import cores
from watchline.measure.speed.chain import MOST, chain
from watchline.measure.speed.engine import bare_engine
from watchline.measure.speed.figures import Speed
from watchline.measure.speed.parts import parts
from watchline.measure.speed.windows import SECONDS
from watchline.pipeline.runner import LATENCY_BUDGET
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.write.mp4 import Mp4Sink


def speed(
    clip: Path,
    stages: Sequence[Stage],
    out: Path,
    video: Mp4Sink | None,
    streams: int = 1,
    rate: float | None = None,
    budget: float = LATENCY_BUDGET,
    seconds: float = SECONDS,
    most: float = MOST,
) -> Speed:
    """Measure. Args and errors: as of `chain`, and of `parts`."""
    detector = stages[0]
    assert isinstance(detector, Detector), "the chain begins with the detector"
    with detector.load() as engine:
        name, runtime, size = engine.metadata.name, engine.runtime, engine.size
    return Speed(
        model=name,
        file=detector.file.name,
        runtime=runtime,
        size=size,
        workers=detector.workers,
        batch=detector.batch,
        cores=cores(),
        parts=parts(clip, stages, out, video),
        engine=bare_engine(detector, seconds),
        is_on_gpu=detector.is_on_gpu,
        chain=chain(clip, stages, out, video, streams, rate, budget, seconds, most),
    )
