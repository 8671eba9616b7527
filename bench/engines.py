"""How fast is the bare engine, by runtime, threads and workers?  python bench/engines.py MODEL [MODEL …]

Each row is one way to use the cores: a number of workers (threads of this process with an engine each), and a number of
threads per engine. Engines are loaded for each worker, or loaded once and forked for the others. The rows take turns in
every round, so other work on the machine affects all of them equally. The ratio is the median, over the rounds, of a
row's throughput divided by the first row's in the same round.

A row's milliseconds are the time of one picture in its worker. Engine only: no decoding, resizing or drawing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from watchline.engines import load, zoo
from watchline.engines.engine import Engine
from watchline.engines.errors import EngineError, RuntimeUnavailable

LAYOUTS = ((1, 1, False), (1, 2, False), (2, 1, False), (2, 1, True))  # workers x threads per worker, whether forked


@dataclass(frozen=True)
class PoolRow:
    """One variant of sharing the cores. `run(pictures)` returns the seconds for that many pictures per worker."""

    name: str
    workers: int
    run: Callable[[int], float]


def main() -> None:
    """Measure each model and print its table."""
    options = _parser().parse_args()
    for model in options.models:
        with ExitStack() as stack:
            try:
                file = zoo.find(model)
                rows = [row for name in options.runtimes for row in _rows(file, name, options, stack)]
            except EngineError as error:
                raise SystemExit(str(error)) from None
            _print_table(file, rows, _measure(rows, options.rounds, options.pictures), options.pictures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", help="ONNX files with Watchline's metadata, or names of shipped ones")
    parser.add_argument("--imgsz", type=int, help="side of the square input (default: the model's own)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which every row runs once (default 15)")
    parser.add_argument("--pictures", type=int, default=8, help="pictures for each worker in a round (default 8)")
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "openvino"], help="default: %(default)s")
    return parser


def _rows(model: Path, runtime: str, options: argparse.Namespace, stack: ExitStack) -> list[PoolRow]:
    """The layouts of one runtime; none if it is not installed, and a line says so."""
    size = (options.imgsz, options.imgsz) if options.imgsz else None
    rows = []
    for workers, threads, forked in LAYOUTS:
        try:
            first = stack.enter_context(load(model, runtime, size, threads))
            another = first.fork if forked else partial(load, model, runtime, size, threads)
            engines = [first, *(stack.enter_context(another()) for _ in range(workers - 1))]
        except RuntimeUnavailable as error:
            print(f"{runtime} is left out: {error}")
            return []
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        name = f"{first.runtime}, {workers} x {threads}{', forked' if forked else ''}"
        rows.append(PoolRow(name, workers, _runner(engines, pool)))
    return rows


def _runner(engines: list[Engine], pool: ThreadPoolExecutor) -> Callable[[int], float]:
    width, height = engines[0].size
    batch = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)

    def work(engine: Engine, pictures: int) -> None:
        for _ in range(pictures):
            engine.infer(batch)

    def run(pictures: int) -> float:
        start = time.perf_counter()
        for done in [pool.submit(work, engine, pictures) for engine in engines]:
            done.result()
        return time.perf_counter() - start

    return run


def _measure(rows: list[PoolRow], rounds: int, pictures: int) -> list[list[float]]:
    """Seconds by row and round, after a warm-up that does not count."""
    for row in rows:
        row.run(2)
    turns = [[row.run(pictures) for row in rows] for _ in range(rounds)]
    return [list(seconds) for seconds in zip(*turns, strict=True)]


def _print_table(model: Path, rows: list[PoolRow], seconds: list[list[float]], pictures: int) -> None:
    if not rows:
        return
    rates = [[row.workers * pictures / s for s in times] for row, times in zip(rows, seconds, strict=True)]
    print(f"\n{model.name}, workers x threads, medians of {len(rates[0])} rounds\n")
    print(f"| {'runtime':<50} | ms per picture | pictures/s | ratio |")
    print(f"| {'-' * 50} | -------------: | ---------: | ----: |")
    for row, times, rate in zip(rows, seconds, rates, strict=True):
        ms = statistics.median(times) / pictures * 1000
        ratio = statistics.median(mine / first for mine, first in zip(rate, rates[0], strict=True))
        print(f"| {row.name:<50} | {ms:14.2f} | {statistics.median(rate):10.1f} | {ratio:5.2f} |")


if __name__ == "__main__":
    main()
