"""`watchline train yolov2`, `yolo`, `ssd` and `faster-rcnn`: a detector on a user's own data."""

import argparse
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE, INTERRUPTED
from watchline.cli.interrupt import first_stops
from watchline.cli.train import BACKBONES, IMAGENET, start_of
from watchline.cli.train_report import asked, report, say, settled_for
from watchline.cli.train_settings import recall, remember

if TYPE_CHECKING:  # torch is not installed with the core
    from watchline.models.fast_rcnn import Trunk
    from watchline.train.own_data.dataset import DataSet, PictureFile
    from watchline.train.own_run import Loop
    from watchline.train.pictures import LabelledPicture
    from watchline.train.recipe_file import RecipeFile
    from watchline.train.single_shot import Recipe

PATIENCE = 30  # epochs


def yolov2(options: argparse.Namespace) -> int:
    """Train YOLOv2, measured each epoch."""
    from watchline.engines import zoo
    from watchline.export.pytorch.yolov2 import load
    from watchline.train import own_single_shot, recipe_file
    from watchline.train import yolov2 as recipes
    from watchline.train.initial import sources

    recall(options)
    device = _device(options)
    if options.imgsz and options.imgsz % own_single_shot.MULTIPLE:
        options.parser.error(f"--imgsz {options.imgsz}: expected a multiple of {own_single_shot.MULTIPLE}")
    mixed = recipe_file.read(options.recipe) if options.recipe else None
    mixed = mixed if mixed and mixed.groups else None
    name = vars(options)["from"] or (IMAGENET if mixed else zoo.DEFAULT)
    network = start_of(options, name)
    if mixed:
        return _with_mixture(options, mixed, device, network)
    data = _read(options)
    base, counts = recipes.RECIPES[device], (len(data.train), len(data.val))
    recipe_for = partial(own_single_shot.recipe_for, base, counts, device)
    recipe = settled_for(options, base, recipe_for, "epochs", "steps", "batch", "imgsz", "seed")
    kept = [label for label, source in zip(data.names, sources(network, data.names), strict=True) if source is not None]
    say(f"from {name}" + (f", which knows {', '.join(kept)}" if kept else ""))
    train, val = _load(options, data, own_single_shot.longest(recipe), device)
    remember(options)
    steps = recipes.train(train, options.out, recipe, options.threads, device, network, names=data.names)
    loop = own_single_shot.loop(steps, load, (len(train), len(val)), options.out, recipe, device)
    return _run(options, loop, val, data.names)


def fixed_size(options: argparse.Namespace) -> int:
    """Train YOLO or SSD, measured each epoch."""
    from watchline.export.pytorch.fixed_size import load
    from watchline.train import fixed_size as recipes
    from watchline.train import own_single_shot, single_shot

    recall(options)
    device = _device(options)
    name, sizes = options.model, recipes.SIZES[options.model]
    if (size := options.imgsz or sizes[0]) not in sizes:
        options.parser.error(f"--imgsz {size}: {name} takes {' or '.join(map(str, sizes))}")
    data = _read(options)
    base, counts = recipes.recipe_of(name, size), (len(data.train), len(data.val))
    recipe_for = partial(own_single_shot.recipe_for, base, counts, device)
    recipe = settled_for(options, base, recipe_for, "epochs", "steps", "batch", "seed")
    train, val = _load(options, data, own_single_shot.longest(recipe), device)
    remember(options)
    begins = name == "yolo" and not (options.out / single_shot.CHECKPOINT).exists()
    start = _head_alone(options, train, recipe, device, data.names) if begins else None
    steps = recipes.train(name, train, options.out, recipe, options.threads, device, data.names, start)
    loop = own_single_shot.loop(steps, load, (len(train), len(val)), options.out, recipe, device)
    return _run(options, loop, val, data.names)


def _head_alone(
    options: argparse.Namespace,
    pictures: Sequence["LabelledPicture"],
    whole: "Recipe",
    device: str,
    names: Sequence[str],
) -> Path:
    """The first part of YOLO's training. Returns its checkpoint."""
    from watchline.train import yolo_head
    from watchline.train.two_stage import CHECKPOINT

    out: Path = options.out / yolo_head.FOLDER
    recipe = yolo_head.recipe_for(whole)
    say(f"first the head alone, on maps of {recipe.views} views, which take {recipe.gibibytes:.1f} GiB in {out}")
    report(yolo_head.train(pictures, out, recipe, whole.views, options.threads, device, names, say), recipe.steps)
    return out / CHECKPOINT


def _with_mixture(options: argparse.Namespace, found: "RecipeFile", device: str, start: Path | None) -> int:
    """Train on the data sets of a recipe's file, with labels of its teachers; nothing is measured."""
    from watchline.export.pytorch.yolov2 import load
    from watchline.ops.voc import VOC
    from watchline.train import mixture, own_run, own_single_shot, recipe_file
    from watchline.train import yolov2 as recipes

    for name in ("imgsz", "patience"):
        if vars(options)[name] is not None:
            options.parser.error(f"--{name} does not go with --recipe, which has sizes and steps of its own")
    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} folders; a recipe takes one, that holds all its data sets")
    base = recipe_file.applied(found, recipes.RECIPES[device], options.recipe)
    recipe = replace(base, **asked(options, "steps", "batch", "seed"))
    say(f"reading {options.data[0]}")
    pictures = list(mixture.gather(found, options.data[0], options.cache or options.out / "labels"))
    counts = Counter(found.groups[picture.group].name for picture in pictures)
    say(", ".join(f"{counts[group.name]} pictures of {group.name}" for group in found.groups))
    recipe = replace(recipe, save_every=own_run.periods(len(pictures), 0, recipe.batch)[1])
    remember(options)
    steps = recipes.train(pictures, options.out, recipe, options.threads, device, start)
    loop = own_single_shot.loop(steps, load, (len(pictures), 0), options.out, recipe, device)
    return _run(options, loop, [], VOC)


def faster_rcnn(options: argparse.Namespace) -> int:
    """Train Faster R-CNN, measured each epoch."""
    from watchline.models.fast_rcnn import TRUNKS
    from watchline.train import faster_rcnn as recipes
    from watchline.train import own_faster_rcnn

    recall(options)
    device = _device(options)
    backbone = options.backbone or BACKBONES[0]
    if (options.imgsz or 0) % (multiple := TRUNKS[backbone].multiple):
        options.parser.error(f"--imgsz {options.imgsz}: expected a multiple of {multiple} for {backbone}")
    trunk = _trunk(options, backbone)
    data = _read(options)
    base, counts = recipes.RECIPES[backbone], (len(data.train), len(data.val))
    recipe_for = partial(own_faster_rcnn.recipe_for, base, counts)
    recipe = settled_for(options, base, recipe_for, "epochs", "steps", "batch", "imgsz", "seed")
    train, val = (_decode(options, files, len(data.names), recipe.size) for files in (data.train, data.val))
    remember(options)
    loop = own_faster_rcnn.loop(
        train, len(val), data.names, options.out, recipe, options.threads, device, (backbone, trunk)
    )
    return _run(options, loop, val, data.names)


def _device(options: argparse.Namespace) -> str:
    """ "cpu" or "cuda"; leaves by argparse's usage error where there is no GPU, or options exclude each other."""
    from watchline.train.single_shot import best_device

    if options.steps and options.epochs:
        options.parser.error("--steps and --epochs: name one of them")
    if options.recipe and options.epochs:
        options.parser.error("--epochs does not go with --recipe, which has steps of its own")
    if options.device == "cuda" and best_device() != "cuda":
        options.parser.error("--device cuda: PyTorch sees no GPU here; `watchline doctor` says what this machine has")
    return best_device() if options.device in (None, "auto") else str(options.device)


def _read(options: argparse.Namespace) -> "DataSet":
    """The checked data, with a line of what it is and one for each note."""
    from watchline.train.own_data import dataset

    say(f"reading {', '.join(map(str, options.data))}")
    data = dataset.read(options.data, options.seed or 0)
    for note in data.notes:
        say(f"note: {note}")
    say(
        f"{len(data.names)} classes: {', '.join(data.names)}; {len(data.train)} pictures to train on, "
        f"{len(data.val)} to measure on"
    )
    return data


def _load(
    options: argparse.Namespace, data: "DataSet", longest: int, device: str
) -> tuple[list["LabelledPicture"], list["LabelledPicture"]]:
    """The pictures to train on and to measure on, in memory."""
    from watchline.train.own_data import pictures

    needed = pictures.memory_of(data.train, longest)
    say(f"they take {needed / 2**30:.2f} GiB of memory")
    pictures.check_memory(needed, pictures.free_memory(device))
    train, val = (_decode(options, files, len(data.names), longest) for files in (data.train, data.val))
    return train, val


def _decode(
    options: argparse.Namespace, files: Sequence["PictureFile"], classes: int, longest: int
) -> list["LabelledPicture"]:
    from watchline.train.own_data import pictures

    return pictures.load(files, classes, longest, options.workers or options.threads)


def _run(options: argparse.Namespace, loop: "Loop", val: Sequence["LabelledPicture"], names: Sequence[str]) -> int:
    """Run the loop to its end, or to the first Ctrl-C; the last line is the next command."""
    from watchline.train import own_run

    out = options.out
    patience = PATIENCE if options.patience is None else options.patience
    with first_stops(lambda: None) as signals:
        report(_until(own_run.fit(loop, val, names, out, patience, say), signals), loop.last)
    if signals:
        say(f"stopped; to go on: watchline train {options.model} --out {shlex.quote(str(out))} --resume")
        return INTERRUPTED
    best = out / own_run.BEST
    say(f"{best}: {own_run.outcome(out)}; {own_run.CURVES}, {own_run.SAMPLES} and results.csv are next to it")
    say(f"next: watchline export {shlex.quote(str(best))} -o {options.model}.onnx")
    return DONE


def _until(steps: Iterator[dict[str, float]], signals: Sequence[int]) -> Iterator[dict[str, float]]:
    """The steps up to the one in which a signal came; closing them writes the checkpoint."""
    with closing(steps):  # type: ignore[type-var]  # a generator
        for figures in steps:
            yield figures
            if signals:
                return


def _trunk(options: argparse.Namespace, backbone: str) -> "Trunk":
    """The trunk with ImageNet weights, those of VGG-16 from a file."""
    from watchline.export.pytorch import state_dict
    from watchline.models.lite_trunk import LiteTrunk
    from watchline.models.vgg import VGG16

    if backbone != "vgg16":
        if options.pretrained:
            options.parser.error(f"--pretrained goes with --backbone vgg16; {backbone} comes with its own weights")
        return LiteTrunk.pretrained()
    if not options.pretrained:
        options.parser.error(
            "--backbone vgg16 needs --pretrained FILE, ImageNet's weights, without which some thousand pictures teach "
            "it nothing: `watchline fetch vgg16` downloads it"
        )
    return VGG16.pretrained(state_dict.load(options.pretrained), str(options.pretrained))
