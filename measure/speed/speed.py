"""Measures a chain: its parts one by one, its bare engine, and all of it at work."""

from watchline.engines.cores import cores
from watchline.measure.speed.chain import Workload, chain
from watchline.measure.speed.engine import bare_engine
from watchline.measure.speed.figures import Speed
from watchline.measure.speed.parts import parts
from watchline.pipeline.stages.detector import Detector


def speed(load: Workload) -> Speed:
    """Measure. Raises what `chain` and `parts` raise."""
    detector = load.stages[0]
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
        parts=parts(load.clip, load.stages, load.out, load.video),
        engine=bare_engine(detector, load.seconds),
        is_on_gpu=detector.is_on_gpu,
        chain=chain(load),
    )
