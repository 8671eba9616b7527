"""How fast is the bare engine, by runtime, threads and workers?  python bench/engines.py MODEL [MODEL …]

Each row is one way to use the cores: so many workers (threads of this process, an engine each), each engine with so
many threads. The rows take turns in every round, so whatever else the machine does falls on all of them alike; the
ratio is the median over the rounds of a row's throughput divided by the first row's in the same round.

A row's milliseconds are the time one picture takes in its worker. Engine only: no decoding, resizing, drawing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from watchline.engines import load
from watchline.engines.engine import Engine
from watchline.engines.errors import EngineError, RuntimeUnavailable

LAYOUTS = ((1, 1), (1, 2), (2, 1))  # workers x threads of each


@dataclass(frozen=True)
class Row:
    """One way to use the cores, loaded; `run` gives the seconds that `pictures` of them took, all workers together."""

    name: str
    workers: int
    run: Callable[[int], float]


def main() -> None:
    """Measure each model and print its table."""
    options = _parser().parse_args()
    for model in options.models:
        with ExitStack() as stack:
            try:
                rows = [row for name in options.runtimes for row in _rows(model, name, options, stack)]
            except EngineError as error:
                raise SystemExit(str(error)) from None
            _print_table(model, rows, _measure(rows, options.rounds, options.pictures), options.pictures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files with Watchline's metadata")
    parser.add_argument("--imgsz", type=int, help="side of the square input (default: the model's own)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which every row runs once (default 15)")
    parser.add_argument("--pictures", type=int, default=8, help="pictures for each worker in a round (default 8)")
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "openvino"], help="default: %(default)s")
    return parser


def _rows(model: Path, runtime: str, options: argparse.Namespace, stack: ExitStack) -> list[Row]:
    """The layouts of one runtime; none, with a line that says why, when it is not installed."""
    size = (options.imgsz, options.imgsz) if options.imgsz else None
    rows = []
    for workers, threads in LAYOUTS:
        try:
            engines = [stack.enter_context(load(model, runtime, size, threads)) for _ in range(workers)]
        except RuntimeUnavailable as error:
            print(f"{runtime} is left out: {error}")
            return []
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        rows.append(Row(f"{engines[0].runtime}, {workers} x {threads}", workers, _runner(engines, pool)))
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


def _measure(rows: list[Row], rounds: int, pictures: int) -> list[list[float]]:
    """Seconds by row and round, after a round that is not counted."""
    for row in rows:
        row.run(2)
    turns = [[row.run(pictures) for row in rows] for _ in range(rounds)]
    return [list(seconds) for seconds in zip(*turns, strict=True)]


def _print_table(model: Path, rows: list[Row], seconds: list[list[float]], pictures: int) -> None:
    if not rows:
        return
    rates = [[row.workers * pictures / s for s in times] for row, times in zip(rows, seconds, strict=True)]
    print(f"\n{model.name}, workers x threads, medians of {len(rates[0])} rounds\n")
    print(f"| {'runtime':<50} | ms a picture | pictures/s | ratio |")
    print(f"| {'-' * 50} | -----------: | ---------: | ----: |")
    for row, times, rate in zip(rows, seconds, rates, strict=True):
        ms = statistics.median(times) / pictures * 1000
        ratio = statistics.median(mine / first for mine, first in zip(rate, rates[0], strict=True))
        print(f"| {row.name:<50} | {ms:12.2f} | {statistics.median(rate):10.1f} | {ratio:5.2f} |")


if __name__ == "__main__":
    main()
