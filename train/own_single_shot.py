"""YOLO, YOLOv2 and SSD on a user's own data: the recipe for so many pictures, and its loop."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from watchline.models.efficientnet_lite import normalise
from watchline.models.single_shot import SingleShot
from watchline.train.own_run import Loop, periods
from watchline.train.single_shot import AVERAGE, Recipe, middle
from watchline.train.validation import Detect

R = TypeVar("R", bound=Recipe)
EPOCHS = 100
BATCH = {"cpu": 16, "cuda": 64}
FEWEST = 10  # steps per epoch that a batch leaves, of small data
ROOM = 1.2  # a picture in memory is so much larger than the largest view, as views zoom in
MULTIPLE = 32  # of sizes


def recipe_for(
    base: R,
    pictures: tuple[int, int],
    device: str,
    epochs: int = EPOCHS,
    steps: int | None = None,
    batch: int | None = None,
    imgsz: int | None = None,
    seed: int = 0,
) -> R:
    """The recipe for a number of training pictures and of those to measure on.

    The learning rates follow the square root of the batch, the sizes of the views follow `imgsz`.

    Args:
        base: the device's recipe.
        pictures: how many there are to train on, and to measure on.
        epochs: how many views there are of each picture.
        steps: instead of epochs.
        batch: views per step; None for what suits data and device.
        imgsz: side of the input in use, a multiple of 32; None for the base's.
    """
    train, val = pictures
    batch = batch or min(BATCH[device], max(4, train // FEWEST))
    factor = (batch / base.batch) ** 0.5
    steps = steps or epochs * math.ceil(train / batch)
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
    """Sizes in the same proportion to `imgsz` as before to `own`, by default their middle one; a size that differs
    becomes a multiple of 32.
    """
    own = own or middle(sizes)
    if imgsz == own:
        return tuple(sizes)
    return tuple(max(MULTIPLE, round(size * imgsz / own / MULTIPLE) * MULTIPLE) for size in sizes)


def longest(recipe: Recipe) -> int:
    """The longer side of a picture in memory, in pixels."""
    return round(max(recipe.sizes) * ROOM)


def loop(
    steps: Generator[dict[str, float], None, None],
    load: Callable[[Path], SingleShot],
    pictures: tuple[int, int],
    out: Path,
    recipe: Recipe,
    device: str,
) -> Loop:
    """The loop over the steps of a run.

    Args:
        steps: of `single_shot.train`, into `out`.
        load: opens the network of a checkpoint.
        pictures: how many there are to train on, and to measure on.
    """
    train, val = pictures
    where = torch.device(device)
    return Loop(
        steps,
        out / AVERAGE,
        lambda file: _looking(load(file).to(where)),
        periods(train, val, recipe.batch)[0],
        recipe.steps,
        math.ceil(train / recipe.batch),
        middle(recipe.sizes),
        where,
    )


def _looking(model: SingleShot) -> Detect:
    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        return model.decoded(model(normalise(images)))

    return detect
