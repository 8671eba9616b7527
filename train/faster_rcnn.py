"""The recipe of Faster R-CNN: `watchline train faster-rcnn --data DIR --out DIR`.

Ren et al. (2015), sections 3.2 and 3.3: SGD with momentum, end to end with all four losses ("approximate joint
training"), a tenth of the rate in the last quarter, pictures scaled and mirrored, the first layers frozen. A picture is
placed in a square as in use. Random numbers of a step depend only on the seed and the step, so a run that was stopped
continues as if it had not been stopped.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from watchline.models.faster_rcnn import SCALES, SIDE, FasterRCNN, RegionSettings, TrueBoxes, Trunk
from watchline.ops.letterbox import fit
from watchline.ops.voc import VOC
from watchline.train import checkpoint, two_stage
from watchline.train.datasets import Sample
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT

SMALLEST = 4.0  # pixels: a box with a shorter side is ignored


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint. The defaults are the paper's, for VGG-16.

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
        before, proposals, regions: of the network's Settings.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 80_000
    batch: int = 1
    size: int = 608
    zoom: float = 1.0
    rate: float = 0.001
    momentum: float = 0.9
    decay: float = 0.0005
    warmup: int = 0
    drop: float = 0.75
    clip: float = 35.0
    average: float = 0.0
    before: int = 3840
    proposals: int = 2000
    regions: int = 128
    save_every: int = 500
    seed: int = 0


LITE = Recipe(
    steps=8000,
    batch=8,
    size=320,
    zoom=0.5,
    rate=0.01,
    warmup=300,
    before=1000,
    proposals=500,
    regions=64,
    average=0.998,
    save_every=100,
)
"""For EfficientNet-Lite0 on two cores: smaller pictures and mini-batches, more pictures per step."""

RECIPES = {"vgg16": Recipe(), "efficientnet-lite0": LITE}


def build(trunk: Trunk, recipe: Recipe, classes: int) -> FasterRCNN:
    """The network that a recipe trains, with anchors in proportion to the input."""
    settings = RegionSettings(
        scales=tuple(scale * recipe.size / SIDE for scale in SCALES),
        before=recipe.before,
        proposals=recipe.proposals,
        regions=recipe.regions,
    )
    return FasterRCNN(trunk, classes, settings)


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


def train(
    samples: Sequence[Sample],
    out: Path,
    trunk: Trunk,
    name: str,
    recipe: Recipe,
    threads: int,
    names: Sequence[str] = VOC,
    device: str = "cpu",
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        samples: the labelled pictures.
        trunk: with its ImageNet weights.
        name: of the trunk, in models' TRUNKS.
        names: of the classes.
        device: "cpu" or "cuda".

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe, trunk or classes, or a broken one.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    model = build(trunk, recipe, len(names)).to(device)
    freeze(model)

    def losses_of(batch: tuple[Tensor, list[TrueBoxes]]) -> dict[str, Tensor]:
        images, truths = batch
        there = [TrueBoxes(*(part.to(device) for part in (t.boxes, t.classes, t.ignore))) for t in truths]
        return model.losses(images.to(device), there)

    return two_stage.run(
        model,
        _optimizer(model, recipe),
        out,
        recipe,
        {"network": "faster-rcnn", "trunk": name, "names": json.dumps(list(names))},
        lambda step: batch_of(samples, recipe, step, trunk.pad),
        losses_of,
        lambda step: schedule(step, recipe),
    )


def freeze(model: FasterRCNN) -> None:
    """The first layers stay frozen, and all batch statistics."""
    two_stage.freeze(model, model.trunk.early())


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate at a step: it rises linearly, then is 1, then a tenth."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 1.0 if step < recipe.steps * recipe.drop else 0.1


def _optimizer(model: FasterRCNN, recipe: Recipe) -> torch.optim.SGD:
    learning = [p for p in model.parameters() if p.requires_grad]
    kernels, rest = [p for p in learning if p.ndim > 1], [p for p in learning if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)
