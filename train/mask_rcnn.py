"""The recipe of the small Mask R-CNN: `watchline train mask-rcnn --data DIR --out DIR`.

He et al. (2017), section 3.1: end to end with all losses. Here with AdamW and a cosine schedule, from ImageNet's
weights, on views with people pasted from other photos. Random numbers of a step depend only on the seed and the step,
so a run that was stopped continues as if it had not been stopped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from watchline.export.pytorch import exported
from watchline.models.efficientnet_lite import SCALE, EfficientNetLite0
from watchline.models.errors import DatasetError
from watchline.models.fast_rcnn import TrueBoxes
from watchline.models.mask_rcnn_lite import LABELS, LiteMaskRCNN
from watchline.train import checkpoint, people, two_stage
from watchline.train.people import Masked
from watchline.train.people_views import Views, draw
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        steps: optimizer steps.
        batch: views per step.
        width, height: of a view in pixels, multiples of 32. Views are smaller than the input in use, as they cost less
            and show people as large, in part of a photo.
        first: share of the views that are drawn from the first data set, if there are several.
        rate, decay: of AdamW; `decay` applies to kernels only.
        backbone: factor on the rate of the backbone.
        warmup: steps in which the rate rises linearly.
        clip: limit of the gradient's norm.
        average: decay of the weights' average.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 1000
    batch: int = 4
    width: int = 448
    height: int = 384
    first: float = 0.75
    rate: float = 5e-4
    decay: float = 0.02
    backbone: float = 0.4
    warmup: int = 60
    clip: float = 10.0
    average: float = 0.997
    save_every: int = 50
    seed: int = 0


def read(folders: Sequence[Path], split: str = "train") -> list[list[Masked]]:
    """Read the data sets into memory.

    Raises:
        DatasetError: a folder is in no known layout, a file is broken, or there are no photos.
    """
    sets = [people.read(folder, split) for folder in folders]
    if not sets or not all(sets):
        raise DatasetError(
            f"{', '.join(map(str, folders)) or 'no folder'}: no photo with masks; name others with --data"
        )
    return sets


def batch_of(
    sets: Sequence[Sequence[Masked]], recipe: Recipe, step: int
) -> tuple[Tensor, list[TrueBoxes], list[Tensor]]:
    """The batch of a step: images (B, 3, H, W) uint8 RGB, their boxes, their planes; equal for equal seed and step."""
    views = []
    for number in range(step * recipe.batch, (step + 1) * recipe.batch):
        rng = np.random.default_rng([recipe.seed, number])
        others = sets[1:] and rng.random() >= recipe.first
        samples = sets[1 + int(rng.integers(len(sets) - 1))] if others else sets[0]
        size = Views(recipe.width, recipe.height)
        views.append(draw(samples[int(rng.integers(len(samples)))], sets[0], size, rng))
    images = np.stack([view.image[..., ::-1].transpose(2, 0, 1) for view in views])
    truths = [
        TrueBoxes(
            torch.from_numpy(view.boxes),
            torch.zeros(len(view.boxes), dtype=torch.int64),
            torch.from_numpy(view.ignore),
        )
        for view in views
    ]
    return torch.from_numpy(images), truths, [torch.from_numpy(view.planes) for view in views]


def train(
    sets: Sequence[Sequence[Masked]], out: Path, recipe: Recipe, threads: int, start: Path | None = None
) -> Iterator[dict[str, float]]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        sets: of photos; people are pasted from the first.
        start: an ONNX of such a network that a new run starts from; None means ImageNet's weights.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or network, or a broken one; or `start` is another
            network.
        ModelNotFound, ModelRefused: there is no `start`, or it is not a model of Watchline.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    if start is None:
        model = LiteMaskRCNN(len(LABELS), backbone=EfficientNetLite0.pretrained())
    else:
        model = LiteMaskRCNN(len(LABELS))
        exported.load(model, start, SCALE)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs do not know it
    freeze(model)

    def losses_of(batch: tuple[Tensor, list[TrueBoxes], list[Tensor]]) -> dict[str, Tensor]:
        images, truths, planes = batch
        return model.losses(images.contiguous(memory_format=torch.channels_last), truths, planes)

    return two_stage.run(
        model,
        _optimizer(model, recipe),
        out,
        recipe,
        {"network": "mask-rcnn"},
        lambda step: batch_of(sets, recipe, step),
        losses_of,
        lambda step: schedule(step, recipe),
    )


def freeze(model: LiteMaskRCNN) -> None:
    """The first layers stay frozen, and all batch statistics."""
    two_stage.freeze(model, model.pyramid.early())


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate at a step: it rises linearly, then falls to 0 as half a cosine."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return (1 + math.cos(math.pi * (step - recipe.warmup) / (recipe.steps - recipe.warmup))) / 2


def _optimizer(model: LiteMaskRCNN, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW on what learns, the backbone at its own rate."""
    groups = []
    for is_backbone in (True, False):
        named = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and name.startswith("pyramid.backbone.") == is_backbone
        ]
        rate = recipe.rate * (recipe.backbone if is_backbone else 1.0)
        for decay, chosen in (
            (recipe.decay, [p for p in named if p.ndim > 1]),
            (0.0, [p for p in named if p.ndim <= 1]),
        ):
            groups.append({"params": chosen, "weight_decay": decay, "lr": rate})
    return torch.optim.AdamW(groups, lr=recipe.rate)
