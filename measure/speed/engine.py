"""The bare engine: how fast the network alone runs with as many engines as the chain has."""

import threading
import time
from contextlib import ExitStack, closing

import numpy as np

from watchline.engines.engine import Engine
from watchline.pipeline.stages.modelled import EachFrame


def bare_engine(stage: EachFrame, seconds: float = 4.0) -> float:
    """Pictures per second of the stage's engines side by side, without anything else. Raises what `load` raises."""
    with ExitStack() as opened:
        first = opened.enter_context(closing(stage.load()))
        engines = [first, *(opened.enter_context(closing(first.fork())) for _ in range(stage.workers - 1))]
        for engine in engines:
            engine.warm_up()
        rates: list[float] = []
        ready = threading.Barrier(len(engines))
        threads = [
            threading.Thread(target=lambda each=engine: rates.append(_rate(each, stage.batch, seconds, ready)))
            for engine in engines
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(rates)


def _rate(engine: Engine, batch: int, seconds: float, ready: threading.Barrier) -> float:
    width, height = engine.size
    pixels = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
    ready.wait()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        engine.infer(pixels)
        done += batch
    return done / (time.perf_counter() - started)
