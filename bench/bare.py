"""The bare engine: how fast the network alone runs on this machine, which limits everything that uses it."""

import os
import threading
import time

import numpy as np

from watchline.pipeline.stages.detector import Detector

CORES = len(os.sched_getaffinity(0))


def bare_engine(detector: Detector, seconds: float = 4.0) -> float:
    """Frames per second of the bare engines, one per core."""
    counts = []
    ready = threading.Barrier(CORES)

    def work() -> None:
        engine = detector.load()
        width, height = engine.size
        batch = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
        engine.warm_up()
        ready.wait()
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            engine.infer(batch)
            done += 1
        counts.append(done / (time.perf_counter() - started))

    threads = [threading.Thread(target=work) for _ in range(CORES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)
