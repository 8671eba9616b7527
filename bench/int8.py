"""What does INT8 gain, and what does it cost? A detector quantised by NNCF, next to itself in FP32, by runtime.

    pip install nncf
    python bench/int8.py --calibrate CLIP_OR_PHOTOS … [--out int8.onnx] [--data DIR --every 4]

Quantisation after training: the convolutions and what lies between them compute in INT8, with ranges that are seen on
`--pictures` of the given videos and photos; the decoding of the grid (sigmoid, exp, softmax, boxes) stays in FP32. The
result is an ONNX with Q/DQ nodes and our metadata, which both runtimes load like any other model.

Speed: in every round each row runs once alone (one engine, one thread) and once on all cores (an engine of one thread
each), so whatever else the machine does falls on all rows alike. Ratios are medians of the rounds' own ratios to the
first row. Engine only: no decoding, resizing, drawing.

Accuracy, with `--data`: the four figures of detector_map.py, which says what DIR holds. Calibrate on other pictures.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import nncf
import numpy as np
import onnx
from detector_map import figures
from nncf.quantization.advanced_parameters import QuantizationParameters
from numpy.typing import NDArray
from onnx import numpy_helper

from watchline.engines import load, metadata
from watchline.engines.engine import Engine
from watchline.ops.letterbox import Rule, fit
from watchline.pipeline import zoo
from watchline.pipeline.detector import Detector
from watchline.streams.frame import Picture
from watchline.streams.inputs import find_sources

RUNTIMES = ("onnxruntime", "openvino")
Batch = NDArray[np.uint8]


def main() -> None:
    """Quantise, measure and print."""
    options = _parser().parse_args()
    nncf.set_log_level(logging.WARNING)
    full = zoo.find(options.model)
    small = options.out or Path(tempfile.mkdtemp(prefix="watchline-int8-")) / f"{full.stem}-int8.onnx"
    detector = Detector(model=str(full), imgsz=options.imgsz, conf=0.01, iou=0.5)
    batches = _calibration(options.calibrate, options.pictures, detector)
    onnx.save(quantise(onnx.load(full), batches), small)
    sizes = [f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (full, small)]
    print(f"{', '.join(sizes)}, calibrated on {len(batches)} pictures; written to {small}", flush=True)
    with ExitStack() as stack:
        rows = {
            f"{runtime} {precision}": [
                stack.enter_context(load(path, runtime, detector.size)) for _ in range(detector.workers)
            ]
            for precision, path in (("FP32", full), ("INT8", small))
            for runtime in RUNTIMES
        }
        _print_speed(rows, _measure(list(rows.values()), batches[0], options.rounds, options.runs))
    if options.data:
        _print_accuracy(detector, full, small, options.data, options.every)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", nargs="+", required=True, metavar="PATH", help="videos, photos, folders of them")
    parser.add_argument("--pictures", type=int, default=200, help="that ranges are taken from (default %(default)s)")
    parser.add_argument("--model", default=zoo.DEFAULT, help="an ONNX file or a shipped name (default %(default)s)")
    parser.add_argument("--imgsz", type=int, help="side of the square input (default: the model's own)")
    parser.add_argument("--out", type=Path, help="the INT8 file (default: one in a new temporary folder)")
    parser.add_argument("--rounds", type=int, default=15, help="in which every row runs (default %(default)s)")
    parser.add_argument(
        "--runs", type=int, default=16, help="pictures for each engine in a round (default %(default)s)"
    )
    parser.add_argument("--data", type=Path, help="measure accuracy as well")
    parser.add_argument("--every", type=int, default=1, help="accuracy on every n-th picture only: a quick look")
    return parser


def quantise(model: onnx.ModelProto, batches: Sequence[Batch]) -> onnx.ModelProto:
    """The model with its convolutions in INT8, its metadata kept.

    Args:
        model: that keeps the contract of engines; changed on the way.
        batches: (1, H, W, 3) uint8 BGR, which the ranges of activations are taken from.
    """
    about = metadata.from_properties({prop.key: prop.value for prop in model.metadata_props}, "the model")
    _widen_weights(model.graph)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(batches, lambda batch: {"images": batch}),
        preset=nncf.QuantizationPreset.PERFORMANCE,  # MIXED, with offsets, was no better and no slower
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(names=_decoding(model.graph), validate=False),  # it folds some of them away
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)  # ONNX Runtime fuses no other
        ),
    )
    _unsign_activations(quantised.graph)
    metadata.write(quantised, about)
    return quantised


def _widen_weights(graph: onnx.GraphProto) -> None:
    """Weights that are stored as FP16 and cast in the graph become plain FP32: NNCF 3.4 stumbles over such casts."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights]:
        weight = weights[cast.input[0]]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), cast.output[0]))
        graph.node.remove(cast)


def _unsign_activations(graph: onnx.GraphProto) -> None:
    """Activations in int8 become uint8, 128 higher: the same numbers, but ONNX Runtime takes a convolution (or a sum)
    for one in INT8 only where input and output have the same type, and behind a ReLU NNCF writes uint8."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for zero in (tensors[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"):
        if zero.data_type == onnx.TensorProto.INT8:
            shifted = numpy_helper.to_array(zero).astype(np.int16) + 128
            zero.CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), zero.name))
    del graph.value_info[:]  # the types between nodes, which are no longer true; runtimes infer them


def _decoding(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that come after the last convolution."""
    before: set[str] = set()  # tensors that a convolution is computed from
    after = []
    for node in reversed(graph.node):  # nodes of an ONNX file stand in the order of computing
        if node.op_type == "Conv" or not before.isdisjoint(node.output):
            before.update(node.input)
        else:
            after.append(node.name)
    return after


def _calibration(words: Sequence[str], count: int, detector: Detector) -> list[Batch]:
    """`count` pictures (1, H, W, 3), spread evenly over the sources and over each source's length."""
    found = find_sources(words)
    if found.problems:
        raise SystemExit("\n".join(map(str, found.problems)))
    with detector.load() as engine:
        size = engine.size
        rule: Rule = "stretch" if engine.metadata.resize == "stretch" else "letterbox"
    share = -(-count // len(found.sources))
    batches: list[Batch] = []
    for source in found.sources:
        with source.open() as reader:
            step = max(1, (reader.about.frames or 0) // share)
            batches += [_fitted(frame.picture, size, rule) for frame in islice(reader, 0, step * share, step)]
    return batches


def _fitted(picture: Picture, size: tuple[int, int], rule: Rule) -> Batch:
    """As the detector stage does it."""
    place = fit((picture.width, picture.height), size, rule)
    batch = np.empty((1, size[1], size[0], 3), np.uint8)
    place.place(picture.scaled(*place.inner), batch[0])
    return batch


def _measure(rows: Sequence[Sequence[Engine]], batch: Batch, rounds: int, runs: int) -> list[list[tuple[float, float]]]:
    """By row and round: milliseconds a picture of one engine alone, pictures a second of all of them."""

    def seconds(engines: Sequence[Engine]) -> float:
        start = time.perf_counter()
        list(pool.map(lambda engine: [engine.infer(batch) for _ in range(runs)], engines))
        return time.perf_counter() - start

    with ThreadPoolExecutor(max(map(len, rows))) as pool:
        for engines in rows:
            seconds(engines)  # not counted
        turns = [
            [(seconds(engines[:1]) / runs * 1e3, len(engines) * runs / seconds(engines)) for engines in rows]
            for _ in range(rounds)
        ]
    return [list(row) for row in zip(*turns, strict=True)]


def _print_speed(rows: dict[str, list[Engine]], measured: list[list[tuple[float, float]]]) -> None:
    cores = len(next(iter(rows.values())))
    print(f"\nmedians of {len(measured[0])} rounds; ratios to the first row\n")
    print(f"| {'':<18} | ms, 1 core | ratio | FPS, {cores} cores | ratio |")
    print("| ------------------ | ---------: | ----: | -----------: | ----: |")
    for name, turns in zip(rows, measured, strict=True):
        ms, fps = (statistics.median(column) for column in zip(*turns, strict=True))
        pairs = list(zip(turns, measured[0], strict=True))
        alone = statistics.median(first[0] / mine[0] for mine, first in pairs)
        together = statistics.median(mine[1] / first[1] for mine, first in pairs)
        print(f"| {name:<18} | {ms:10.1f} | {alone:5.2f} | {fps:12.1f} | {together:5.2f} |", flush=True)


def _print_accuracy(detector: Detector, full: Path, small: Path, data: Path, every: int) -> None:
    ways = {"FP32": (full, "onnxruntime")} | {f"INT8 {runtime}": (small, runtime) for runtime in RUNTIMES}
    columns = [
        figures(replace(detector, model=str(path), runtime=runtime), data, every) for path, runtime in ways.values()
    ]
    print(f"\naverage precision at IoU 0.5, one picture in {every}\n")
    print(f"| {'':<38} | {' | '.join(f'{name:>16}' for name in ways)} |")
    print(f"| {'-' * 38} | {' | '.join(['-' * 15 + ':'] * len(ways))} |")
    for name in columns[0]:
        print(f"| {name:<38} | {' | '.join(f'{column[name]:16.3f}' for column in columns)} |", flush=True)


if __name__ == "__main__":
    main()
