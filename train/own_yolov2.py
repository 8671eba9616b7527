"""YOLOv2 on a user's own data: the recipe for so many pictures, and its loop."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from watchline.export.pytorch import yolov2 as exporter
from watchline.models.yolov2 import decode, normalise
from watchline.train import yolov2
from watchline.train.own_run import Loop, periods
from watchline.train.pictures import LabelledPicture
from watchline.train.validation import Detect
from watchline.train.yolov2 import Recipe, middle

EPOCHS = 100
BATCH = {"cpu": 16, "cuda": 64}
FEWEST = 10  # steps per epoch that a batch leaves, of small data
ROOM = 1.2  # a picture in memory is so much larger than the largest view, as views zoom in
MULTIPLE = 32  # of sizes


def recipe_for(
    base: Recipe,
    pictures: tuple[int, int],
    device: str,
    epochs: int = EPOCHS,
    batch: int | None = None,
    imgsz: int | None = None,
    seed: int = 0,
) -> Recipe:
    """The recipe for a number of training pictures and of those to measure on.

    The learning rates follow the square root of the batch, the sizes of the views follow `imgsz`.

    Args:
        base: the device's recipe.
        pictures: how many there are to train on, and to measure on.
        batch: views per step; None for what suits data and device.
        imgsz: side of the input in use, a multiple of 32; None for the base's.
    """
    train, val = pictures
    batch = batch or min(BATCH[device], max(4, train // FEWEST))
    factor = (batch / base.batch) ** 0.5
    steps = epochs * math.ceil(train / batch)
    return replace(
        base,
        steps=steps,
        batch=batch,
        sizes=scaled(base.sizes, imgsz or middle(base.sizes)),
        calm_sizes=scaled(base.calm_sizes, imgsz or middle(base.sizes), middle(base.sizes)),
        lr_backbone=base.lr_backbone * factor,
        lr_head=base.lr_head * factor,
        warmup=max(1, min(base.warmup, steps // 10)),
        save_every=periods(train, val, batch)[1],
        seed=seed,
    )


def scaled(sizes: Sequence[int], imgsz: int, own: int | None = None) -> tuple[int, ...]:
    """Sizes in the same proportion to `imgsz` as before to `own`, by default their middle one."""
    own = own or middle(sizes)
    return tuple(max(MULTIPLE, round(size * imgsz / own / MULTIPLE) * MULTIPLE) for size in sizes)


def longest(recipe: Recipe) -> int:
    """The longer side of a picture in memory, in pixels."""
    return round(max(recipe.sizes) * ROOM)


def loop(
    pictures: Sequence[LabelledPicture],
    measured: int,
    names: Sequence[str],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str,
    start: Path | None,
) -> Loop:
    """The loop over the steps of a run, as in `yolov2.train`. Args: measured, how many pictures to measure on."""
    return Loop(
        yolov2.train(pictures, out, recipe, threads, device, start, names=names),
        out / yolov2.AVERAGE,
        lambda file: load(file, torch.device(device)),
        periods(len(pictures), measured, recipe.batch)[0],
        recipe.steps,
        math.ceil(len(pictures) / recipe.batch),
        middle(recipe.sizes),
        torch.device(device),
    )


def load(file: Path, device: torch.device) -> Detect:
    """The network in a checkpoint, in evaluation. Raises CheckpointRefused: there is none in it."""
    model = exporter.load(file).to(device)

    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        return decode(model(normalise(images)), model.priors)

    return detect
