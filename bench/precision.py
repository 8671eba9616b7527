"""What do FP16 and INT8 gain on a CPU, and what do they cost? A detector in each precision, by runtime.

    python bench/precision.py --calibrate CLIP_OR_PHOTOS … [--data DIR --every 4]

The models are those that `watchline export --precision fp16` and `int8` write (export/precision/), INT8 for each
runtime, with ranges from `--pictures` of the given videos and photos.

Speed: in every round, each row runs once alone (one engine, one thread) and once on all cores (one engine of one thread
each), so other work on the machine affects all rows equally. Ratios are medians of the ratios to the first row within
each round. Engine only: no decoding, resizing or drawing.

Accuracy, with `--data`: the four figures of detector_map.py, which says what DIR contains. Calibrate on other pictures.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from detector_map import figures
from numpy.typing import NDArray

from watchline.engines import cpu, load, zoo
from watchline.engines.engine import Engine
from watchline.export.precision.fp16 import half
from watchline.export.precision.int8 import quantise
from watchline.measure.calibration import pictures
from watchline.pipeline.stages.detector import Detector

RUNTIMES = ("onnxruntime", "openvino")
Batch = NDArray[np.uint8]


def main() -> None:
    """Make the models, measure and print."""
    options = _parser().parse_args()
    full = zoo.find(options.model)
    folder = Path(tempfile.mkdtemp(prefix="watchline-int8-"))
    detector = Detector(model=str(full), imgsz=options.imgsz, conf=0.01, iou=0.5)
    with detector.load() as engine:
        batches = pictures(options.calibrate, options.pictures, engine.metadata, engine.size)
    onnx.save(half(onnx.load(full)), folder / "fp16.onnx")
    for runtime in RUNTIMES:
        onnx.save(quantise(onnx.load(full), batches, runtime), folder / f"int8-{runtime}.onnx")
    files = {
        f"{runtime} {precision}": (folder / name.format(runtime) if name else full, runtime)
        for precision, name in (("FP32", ""), ("FP16", "fp16.onnx"), ("INT8", "int8-{}.onnx"))
        for runtime in RUNTIMES
    }
    print(f"INT8 from {len(batches)} pictures; models in {folder}", flush=True)
    with ExitStack() as stack:
        rows = {
            name: [stack.enter_context(load(path, runtime, detector.size)) for _ in range(detector.workers)]
            for name, (path, runtime) in files.items()
        }
        _print_speed(rows, _measure(list(rows.values()), batches[0], options.rounds, options.runs))
    if options.data:
        _print_accuracy(detector, files, options.data, options.every)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", nargs="+", required=True, metavar="PATH", help="videos, photos, folders of them")
    parser.add_argument("--pictures", type=int, default=200, help="pictures for the ranges (default %(default)s)")
    parser.add_argument("--model", default=zoo.DEFAULT, help="an ONNX file or a shipped name (default %(default)s)")
    parser.add_argument("--imgsz", type=int, help="side of the square input (default: the model's own)")
    parser.add_argument("--rounds", type=int, default=15, help="in each, every row runs once (default %(default)s)")
    parser.add_argument(
        "--runs", type=int, default=16, help="pictures for each engine in a round (default %(default)s)"
    )
    parser.add_argument("--data", type=Path, help="measure accuracy too")
    parser.add_argument("--every", type=int, default=1, help="accuracy on every n-th picture only, to be quick")
    return parser


def _measure(rows: Sequence[Sequence[Engine]], batch: Batch, rounds: int, runs: int) -> list[list[tuple[float, float]]]:
    """By row and round: milliseconds per picture of one engine alone, pictures per second of all of them."""

    def seconds(engines: Sequence[Engine]) -> float:
        start = time.perf_counter()
        list(pool.map(lambda engine: [engine.infer(batch) for _ in range(runs)], engines))
        return time.perf_counter() - start

    with ThreadPoolExecutor(max(map(len, rows))) as pool:
        for engines in rows:
            seconds(engines)  # warm-up
        turns = [
            [(seconds(engines[:1]) / runs * 1e3, len(engines) * runs / seconds(engines)) for engines in rows]
            for _ in range(rounds)
        ]
    return [list(row) for row in zip(*turns, strict=True)]


def _print_speed(rows: dict[str, list[Engine]], measured: list[list[tuple[float, float]]]) -> None:
    cores = len(next(iter(rows.values())))
    print(f"\n{cpu.kind()}: medians of {len(measured[0])} rounds; ratios to the first row\n")
    print(f"| {'':<18} | ms, 1 core | ratio | FPS, {cores} cores | ratio |")
    print("| ------------------ | ---------: | ----: | -----------: | ----: |")
    for name, turns in zip(rows, measured, strict=True):
        ms, fps = (statistics.median(column) for column in zip(*turns, strict=True))
        pairs = list(zip(turns, measured[0], strict=True))
        alone = statistics.median(first[0] / mine[0] for mine, first in pairs)
        together = statistics.median(mine[1] / first[1] for mine, first in pairs)
        print(f"| {name:<18} | {ms:10.1f} | {alone:5.2f} | {fps:12.1f} | {together:5.2f} |", flush=True)


def _print_accuracy(detector: Detector, files: dict[str, tuple[Path, str]], data: Path, every: int) -> None:
    columns = {
        name: figures(replace(detector, model=str(path), runtime=runtime), data, every)
        for name, (path, runtime) in files.items()
    }
    print(f"\n{cpu.kind()}: average precision at IoU 0.5, one picture in {every}\n")
    print(f"| {'':<38} | {' | '.join(f'{name:>16}' for name in columns)} |")
    print(f"| {'-' * 38} | {' | '.join(['-' * 15 + ':'] * len(columns))} |")
    for figure in next(iter(columns.values())):
        print(f"| {figure:<38} | {' | '.join(f'{column[figure]:16.3f}' for column in columns.values())} |", flush=True)


if __name__ == "__main__":
    main()
