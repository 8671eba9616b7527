"""Trains `yolov2-slim` step by step, so that a GPU on another machine can do the training.

    python -m watchline.train pack --recipe R.toml --data DIR --cache DIR --out DIR  # pictures and labels into files
    python -m watchline.train slim --model M.onnx --parts P.npz … --out S.pt    # half the channels, to start from
    python -m watchline.train try --parts P.npz … --from S.pt                   # measure the speed of this machine
    python -m watchline.train run --parts P.npz … --from S.pt --out DIR --minutes 7

The machine with the GPU needs the packed files, the network and this package. `watchline export` takes the `average.pt`
of the last step. On a machine with the data sets, `watchline train yolov2 --recipe R.toml` does it in one command.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from watchline.engines.cores import cores
from watchline.models.yolov2 import SHAPES
from watchline.train import initial, pack, single_shot, yolov2
from watchline.train.views import Store


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        "python -m watchline.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, command in (("pack", _pack), ("slim", _slim), ("try", _try), ("run", _run)):
        one = commands.add_parser(name)
        one.set_defaults(run=command)
        if name == "pack":
            one.add_argument("--recipe", type=Path, required=True, help="a file of recipes/")
            one.add_argument("--data", type=Path, required=True)
            one.add_argument("--cache", type=Path, required=True, help="folder for the teachers' outputs")
            one.add_argument("--mebibytes", type=int, default=48, help="largest size of a packed file (default: 48)")
        else:
            one.add_argument("--parts", type=Path, nargs="+", required=True)
        if name == "slim":
            one.add_argument(
                "--model", type=Path, required=True, help="complete network, an .onnx of `watchline export`"
            )
            one.add_argument("--shape", choices=list(SHAPES), default="slim", help="(default: slim)")
        if name != "try":
            one.add_argument("--out", type=Path, required=True)
        if name in ("try", "run"):
            _recipe_options(one)
    options = parser.parse_args()
    options.run(options)


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        help="network to start from, .pt or exported .onnx; without it, ImageNet's",
    )
    parser.add_argument("--device", choices=list(yolov2.RECIPES), default=single_shot.best_device())
    parser.add_argument("--minutes", type=float, help="wall-clock time of the steps, instead of their number")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="of the views; each costs a GPU some 20 s for cuDNN's search"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the recipe's learning rates")
    parser.add_argument("--threads", type=int, default=cores(), help="(default: all cores that it may use)")
    parser.add_argument("--every", type=int, default=50, help="steps between lines")


def _pack(options: argparse.Namespace) -> None:
    from watchline.train import recipe_file
    from watchline.train.mixture import gather  # only this step needs the teachers

    pictures = gather(recipe_file.read(options.recipe), options.data, options.cache)
    for file in pack.write(pictures, options.out, options.mebibytes << 20):
        print(file, f"{file.stat().st_size / 2**20:.1f} MiB", flush=True)


def _slim(options: argparse.Namespace) -> None:
    from watchline.train import slim

    views = slim.views(pack.read(options.parts))
    model = slim.slim(initial.read(options.model), SHAPES[options.shape], views)
    torch.save({"model": model.state_dict()}, options.out)


def _try(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    store = Store.of(pack.read(options.parts), torch.device(options.device), options.threads)
    gibibytes = store.pixels.numel() * 4 / 2**30
    print(f"{len(store.weight)} pictures, {gibibytes:.2f} GiB, {time.perf_counter() - began:.1f} s", flush=True)
    for line in yolov2.try_out(store, _recipe(options), options.start):
        print(f"{time.perf_counter() - began:6.1f} s {line}", flush=True)


def _run(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    pictures = pack.read(options.parts)
    print(f"{len(pictures)} pictures read, {time.perf_counter() - began:.1f} s", flush=True)
    for figures in yolov2.train(
        pictures, options.out, _recipe(options), options.threads, options.device, options.start, options.every
    ):
        shown = (f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{time.perf_counter() - began:6.1f} s", *shown, flush=True)
    print(f"{options.out / single_shot.AVERAGE}: done, {time.perf_counter() - began:.1f} s", flush=True)


def _recipe(options: argparse.Namespace) -> yolov2.Recipe:
    asked = {"minutes": options.minutes, "steps": options.steps, "batch": options.batch}
    recipe = replace(
        yolov2.RECIPES[options.device], **{name: value for name, value in asked.items() if value is not None}
    )
    recipe = replace(recipe, lr_backbone=recipe.lr_backbone * options.rate, lr_head=recipe.lr_head * options.rate)
    if not options.sizes:
        return recipe
    return replace(recipe, sizes=tuple(options.sizes), calm_sizes=tuple(options.sizes))


if __name__ == "__main__":
    main()
