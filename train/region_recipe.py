"""What the recipes of Fast and Faster R-CNN share: the settings, how pictures are seen, the rate.

A picture is placed in a square as in use, scaled and mirrored. Random numbers of a step depend only on the seed and the
step, so a run that was stopped continues as if it had not been stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.fast_rcnn import TrueBoxes
from watchline.ops.letterbox import fit
from watchline.train.datasets import Sample

SMALLEST = 4.0  # pixels: a box with a shorter side is ignored


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint. The defaults are for EfficientNet-Lite0.

    Attributes:
        steps: optimizer steps.
        batch: pictures per step.
        size: side of the square input, a multiple of 32.
        zoom: smallest share of the input that a picture's longer side takes, drawn log-uniformly up to 1.
        rate, momentum, decay: of SGD; `decay` applies to kernels only.
        warmup: steps in which the rate rises linearly.
        drop: share of the steps after which the rate is a tenth.
        clip: limit of the gradient's norm.
        average: decay of the weights' average; 0 for none.
        regions: of a picture's mini-batch.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 8000
    batch: int = 8
    size: int = 320
    zoom: float = 0.5
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    warmup: int = 300
    drop: float = 0.75
    clip: float = 35.0
    average: float = 0.998
    regions: int = 64
    save_every: int = 100
    seed: int = 0


def batch_of(
    samples: Sequence[Sample], recipe: Recipe, step: int, pad: tuple[int, int, int]
) -> tuple[Tensor, list[TrueBoxes]]:
    """The batch of a step: images (B, 3, S, S) uint8 RGB and their boxes; equal for equal seed and step.

    Every epoch shows each picture once, in a new order.
    """
    views = []
    for number in range(step * recipe.batch, (step + 1) * recipe.batch):
        epoch, index = divmod(number, len(samples))
        order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(len(samples))
        views.append(view(samples[order[index]], recipe, np.random.default_rng([recipe.seed, 1, number]), pad))
    images = np.stack([v.image[..., ::-1].transpose(2, 0, 1) for v in views])
    truths = [TrueBoxes(*(torch.from_numpy(part) for part in (v.boxes, v.classes, v.ignore))) for v in views]
    return torch.from_numpy(images), truths


def view(sample: Sample, recipe: Recipe, rng: np.random.Generator, pad: tuple[int, int, int]) -> Sample:
    """The picture at the top left of the square input, zoomed, and mirrored half of the time. Args: pad, RGB."""
    side = max(1, round(recipe.size * float(np.exp(rng.uniform(np.log(recipe.zoom), 0.0)))))
    height, width = sample.image.shape[:2]
    inner = fit((width, height), (side, side)).inner
    canvas = np.empty((recipe.size, recipe.size, 3), np.uint8)
    canvas[:] = pad[::-1]
    picture = cv2.resize(sample.image, inner, interpolation=cv2.INTER_LINEAR)
    boxes = sample.boxes * np.array([inner[0] / width, inner[1] / height] * 2, np.float32)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        boxes[:, [0, 2]] = inner[0] - boxes[:, [2, 0]]
    canvas[: inner[1], : inner[0]] = picture
    sides = boxes[:, 2:] - boxes[:, :2]
    valid = (sides > 0).all(1)
    ignore = sample.ignore | (sides < SMALLEST).any(1)
    return Sample(canvas, boxes[valid], sample.classes[valid], ignore[valid])


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate at a step: it rises linearly, then is 1, then a tenth."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 1.0 if step < recipe.steps * recipe.drop else 0.1


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD on what learns."""
    learning = [p for p in model.parameters() if p.requires_grad]
    kernels, rest = [p for p in learning if p.ndim > 1], [p for p in learning if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)
