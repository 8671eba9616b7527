"""`watchline parity CHECKPOINT... ENGINE --images DIR`: what was lost on the way from a checkpoint to the pipeline."""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least, preparation, share
from watchline.cli.bench_map import add_labelled
from watchline.cli.bench_options import add_json, check_json
from watchline.cli.bench_report import write_json
from watchline.cli.exit_codes import DONE, SOME_FAILED
from watchline.engines.resizing import RESIZES

if TYPE_CHECKING:
    from watchline.measure.comparison import Compared, Limits
    from watchline.streams.frame import Image

PICTURES = 8
RUNTIME = len(" by onnxruntime 1.23.10 CPUExecutionProvider  ")  # what follows a name
LIMITS = {"boxes": "max_boxes", "scores": "max_scores", "lost": "max_lost", "drop": "max_drop"}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "parity",
        help="compare a checkpoint with the model that was made of it, step by step",
        description="Compute the same pictures by the checkpoint, by its ONNX, by the model with every runtime that is "
        "installed and in the pipeline; exit with 1 if a step differs by more than its limits.",
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="*", metavar="FILE", help="the checkpoint's file or files, then the model")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photos to compare on")
    parser.add_argument(
        "--limit", type=at_least(1), default=PICTURES, metavar="N", help=f"so many of them (default: {PICTURES})"
    )
    parser.add_argument("--arch", metavar="NAME", help="network of a PyTorch state dict, as for `watchline export`")
    parser.add_argument("--family", metavar="NAME", help="family of an ONNX detector, as for `watchline export`")
    parser.add_argument("--input", type=preparation, metavar="WORDS", help="pixels, as for `watchline export`")
    parser.add_argument("--epsilon", type=share, metavar="X", help="of normalisations, as for `watchline export`")
    parser.add_argument("--resize", choices=RESIZES, help="how pictures are resized, as for `watchline export`")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="whose limits hold (default: as found)")
    parser.add_argument("--max-boxes", type=_limit, metavar="PX", help="that a coordinate may differ by")
    parser.add_argument("--max-scores", type=share, metavar="X", help="that a score may differ by")
    parser.add_argument("--max-lost", type=share, metavar="SHARE", help="of the boxes that may be lost, or new")
    parser.add_argument("--max-drop", type=share, metavar="X", help="that the mAP on --data may fall by")
    add_labelled(parser, False, ["voc2010", "voc2007"])
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare, print a row for each step as it is done, and what goes over a limit."""
    from functools import partial

    from watchline.engines import cpu
    from watchline.measure import parity
    from watchline.measure.accuracy import accuracy_of

    *paths, file = _files(options)
    check_json(options)
    precision = options.precision or parity.precision_of(file)
    pictures = _pictures(options.images, options.limit)
    measure = None
    if options.data:
        measure = partial(
            accuracy_of, data=options.data, split=options.split, rule=options.rule or "voc2010", every=options.every,
            threshold=options.iou_threshold,
        )  # fmt: skip
    limits = _limits(options, precision)
    steps = parity.parity(
        paths,
        file,
        pictures,
        arch=options.arch,
        family=options.family,
        measure=measure,
        limits=limits,
        precision=precision,
        resize=options.resize,
        asked=options.input,
        epsilon=options.epsilon,
    )
    width = RUNTIME + max(len(name) for name in (file.name, paths[0].name, "exported again"))
    compared = _told(steps, width)
    for name, reason in parity.runtimes_of(file)[1].items():
        print(f"not compared: {name}, {reason}", file=sys.stderr)
    if options.data and all(step.accuracy is None for step in compared):
        print("not measured: the mAP is that of detectors, and this model finds no boxes", file=sys.stderr)
    failed = [step for step in compared if step.over]
    seen = f"{len(pictures)} pictures of {options.images}, {cpu.kind()}"
    print(f"{'too far' if failed else 'fine'}: {file}, {precision}, on {seen}")
    if options.json:
        write_json(options.json, _report(options, precision, len(pictures), compared))
    return SOME_FAILED if failed else DONE


def _files(options: argparse.Namespace) -> list[Path]:
    if len(options.inputs) < 2:
        options.parser.error("what with what? name the checkpoint, e.g. net.cfg net.weights, and the model, net.onnx")
    return [Path(word) for word in options.inputs]


def _pictures(folder: Path, limit: int) -> "list[Image]":
    """So many of the photos, spread evenly. Raises StreamError: there are none, or one cannot be read."""
    from watchline.streams.photo import read_photo
    from watchline.streams.photos import PhotosSource

    files = PhotosSource((folder,)).files()
    return [read_photo(file).pixels for file in files[:: math.ceil(len(files) / limit)]]


def _limits(options: argparse.Namespace, precision: str) -> "dict[str, Limits]":
    """Those of the precision, with what was asked for in their place."""
    from dataclasses import replace

    from watchline.measure.comparison import LIMITS as OURS

    asked = {field: getattr(options, name) for field, name in LIMITS.items()}
    asked = {field: value for field, value in asked.items() if value is not None}
    return OURS | {precision: replace(OURS[precision], **asked)}


def _told(steps: "Iterable[Compared]", width: int) -> "list[Compared]":
    """Print each step when it is done."""
    compared: list[Compared] = []
    print(f"{'step':{width}}{'boxes px':>10}{'scores':>10}{'matched':>9}{'lost':>6}{'new':>6}{'mAP':>8}{'drop':>8}")
    for step in steps:
        compared.append(step)
        d = step.difference
        numbers = "        -         -" if len(compared) == 1 else f"{_short(d.boxes):>10}{_short(d.scores):>10}"
        mean = "" if step.accuracy is None else f"{step.accuracy.mean:.4f}"
        drop = "" if step.drop is None else f"{step.drop:.4f}"
        print(
            f"{step.name:{width}}{numbers:>20}{d.matched:>9}{d.lost:>6}{d.extra:>6}{mean:>8}{drop:>8}".rstrip(),
            flush=True,
        )
        if d.classes is not None:
            print(f"  {d.classes:.2%} of the pixels have another class")
        for line in step.over:
            print(f"  {line}")
        if step.look is not None:
            print(f"  {step.look.text}")
    return compared


def _report(options: argparse.Namespace, precision: str, pictures: int, compared: "Sequence[Compared]") -> object:
    from dataclasses import asdict

    from watchline.engines import cpu

    return {
        "checkpoint": options.inputs[:-1],
        "engine": options.inputs[-1],
        "precision": precision,
        "cpu": cpu.kind(),
        "images": str(options.images),
        "pictures": pictures,
        "data": str(options.data) if options.data else None,
        "limits": asdict(_limits(options, precision)[precision]),
        "passed": not any(step.over for step in compared),
        "steps": [step.as_dict() for step in compared],
    }


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels, e.g. 0.5")
    return value
