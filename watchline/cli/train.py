"""`watchline train yolov2 --data DIR --out DIR`: train the shipped detector again. Needs torch."""

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path

from watchline.cli.arguments import at_least
from watchline.cli.exit_codes import DONE

EVERY = 20  # steps between lines
MODEL = "yolov2-lite0.onnx"
IMGSZ = 416  # pixels of the exported model's input
NEEDED = "training needs torch: pip install 'watchline[train]'"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options; those of the recipe default to the recipe's own."""
    parser = commands.add_parser(
        "train",
        help="train a model; goes on where it stopped",
        description="Train a model. A run that was stopped goes on from its checkpoint in the output folder.",
        allow_abbrev=False,
    )
    parser.add_argument("model", choices=["yolov2"])
    parser.add_argument("--data", required=True, type=Path, help="folder of the data sets")
    parser.add_argument("--out", required=True, type=Path, help="folder for the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the teachers' labels (default: OUT/labels)")
    parser.add_argument("--steps", type=at_least(1), help="optimizer steps")
    parser.add_argument("--batch", type=at_least(1), help="pictures a step")
    parser.add_argument("--frozen", type=at_least(0), help="blocks of the backbone that keep their weights")
    parser.add_argument("--seed", type=at_least(0), help="of everything random")
    parser.add_argument("--threads", type=at_least(1), default=os.cpu_count(), help="(default: all cores)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, with a line each 20 steps."""
    # A waiting OpenMP thread that spins takes the cores from whatever else runs: six times slower on a busy machine.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from watchline.export import detector_onnx
        from watchline.train import mixture, yolov2
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("watchline"):
            raise
        options.parser.error(f"{NEEDED} ({error.name} is not installed)")
    asked = {name: getattr(options, name) for name in ("steps", "batch", "frozen", "seed")}
    recipe = yolov2.Recipe(**{name: value for name, value in asked.items() if value is not None})
    print(f"reading {options.data}", flush=True)
    data = mixture.load(options.data, options.cache or options.out / "labels")
    print(f"{' + '.join(str(len(group)) for group in data.groups)} pictures: photos, street, everyday", flush=True)
    _report(yolov2.train(data, options.out, recipe, options.threads), recipe.steps)
    detector_onnx.write(options.out / yolov2.CHECKPOINT, options.out / MODEL, IMGSZ, figures={})
    print(f"{options.out / MODEL}: done, {recipe.steps} steps; watchline annotate … --model {options.out / MODEL}")
    return DONE


def _report(steps: Iterable[dict[str, float]], last: int) -> None:
    """A line each 20 steps: the mean of the loss and its parts, seconds a step, time to go."""
    since: list[dict[str, float]] = []
    started, first = 0.0, -1
    for figures in steps:
        step = int(figures["step"])
        if first < 0:  # what comes before the first step is not counted on
            started, first = time.monotonic() - figures["seconds"], step - 1
        since.append(figures)
        if step % EVERY and step != last:
            continue
        means = {name: sum(f[name] for f in since) / len(since) for name in figures if name not in ("step", "size")}
        pace = (time.monotonic() - started) / (step - first)
        minutes, seconds = divmod(round(pace * (last - step)), 60)
        seconds_a_step = means.pop("seconds")
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(f"step {step}/{last}  {losses}  {seconds_a_step:.2f} s a step, ETA {minutes}:{seconds:02d}", flush=True)
        since.clear()
