"""Faster R-CNN on a user's own data: the recipe for so many pictures, and its loop."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from watchline.export.pytorch import faster_rcnn as exporter
from watchline.models.fast_rcnn import Trunk
from watchline.train import faster_rcnn
from watchline.train.datasets import Sample
from watchline.train.faster_rcnn import Recipe
from watchline.train.own_run import Loop, periods
from watchline.train.pictures import LabelledPicture
from watchline.train.validation import Detect, decoded

WARMUP = 5  # the rate rises in a fifth of a short run
EPOCHS = 100  # at most; a recipe's own number of steps is the limit of large data


def recipe_for(
    base: Recipe,
    pictures: tuple[int, int],
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    imgsz: int | None = None,
    seed: int = 0,
) -> Recipe:
    """The recipe for a number of training pictures and of those to measure on. The rate follows the batch.

    Args:
        base: the backbone's recipe.
        pictures: how many there are to train on, and to measure on.
        epochs: how often every picture is seen; None for EPOCHS, or the base's steps if these are fewer.
        steps: instead of epochs.
        batch, imgsz, seed: as in the recipe; None for the base's.
    """
    train, val = pictures
    batch = batch or base.batch
    each = math.ceil(train / batch)
    steps = steps or (epochs * each if epochs else min(EPOCHS * each, base.steps))
    return replace(
        base,
        steps=steps,
        warmup=min(base.warmup, steps // WARMUP),
        batch=batch,
        size=imgsz or base.size,
        rate=base.rate * batch / base.batch,
        save_every=periods(train, val, batch)[1],
        seed=seed,
    )


class Samples(Sequence[Sample]):
    """Labelled pictures that are decoded when they are asked for, as every epoch sees each of them once."""

    def __init__(self, pictures: Sequence[LabelledPicture]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "Samples": ...

    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(self._pictures[index])
        picture = self._pictures[index]
        return Sample(decoded(picture), picture.boxes, picture.classes, picture.ignore)


def loop(
    pictures: Sequence[LabelledPicture],
    measured: int,
    names: Sequence[str],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str,
    trunk: tuple[str, Trunk],
) -> Loop:
    """The loop over the steps of a run, as in `faster_rcnn.train`. Args: measured, how many pictures to measure on."""
    name, network = trunk
    red, green, blue = network.pad
    return Loop(
        faster_rcnn.train(Samples(pictures), out, network, name, recipe, threads, names, device),
        out / faster_rcnn.CHECKPOINT,
        lambda file: load(file, torch.device(device)),
        periods(len(pictures), measured, recipe.batch)[0],
        recipe.steps,
        math.ceil(len(pictures) / recipe.batch),
        recipe.size,
        torch.device(device),
        (blue, green, red),
    )


def load(file: Path, device: torch.device) -> Detect:
    """The network in a checkpoint, in evaluation. Raises CheckpointRefused: there is none in it."""
    model = exporter.load(file).to(device)

    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = model(images)
        return boxes, scores

    return detect
