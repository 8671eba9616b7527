"""Trains a class head and a box head on maps of a frozen network, one after the other: the lecture's recipe.

First the class head learns with cross-entropy. Then it stays as it is, and "the regression head only" learns, "with SGD
and the squared error". Numbers of a step depend on the seed and the step alone, so a run that was stopped continues as
if it had not been.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.models.localizer import Heads, box_loss, class_loss
from watchline.train import checkpoint, two_stage
from watchline.train.looks import Maps


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        steps: optimizer steps; the first half is of the class head.
        batch: maps per step.
        rate, momentum, decay: of SGD; `decay` applies to kernels only.
        drop: share of each half after which the rate is a tenth.
        clip: limit of the gradient's norm.
        average: decay of the weights' average; 0 for none.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 3000
    batch: int = 64
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    drop: float = 0.75
    clip: float = 10.0
    average: float = 0.0
    save_every: int = 500
    seed: int = 0


@dataclass(frozen=True)
class Looks:
    """What the heads learn from.

    Attributes:
        maps: (N, D, 7, 7) float16.
        labels: (N,) int64, what the class head should say.
        classes: (N,) int64, the class of the box; -1 where the box head learns nothing.
        boxes: (N, 4) float32, x, y, w, h in shares of the window.
        weights: (N,) float64, how often each is drawn, in proportion.
    """

    maps: Maps
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class _Batch:
    is_first: bool
    maps: Tensor
    truth: Tensor
    boxes: Tensor


def train(
    model: nn.Module, heads: Heads, looks: Looks, out: Path, recipe: Recipe, about: dict[str, str]
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        model: what the checkpoint has; all of it but the heads is frozen.
        heads: of the model.
        about: the network and its classes, as `two_stage.run` takes them.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe, or a broken one.
    """
    checkpoint.make_folder(out)
    model.requires_grad_(False).eval()
    learning = [p for head in (heads.classify, heads.locate) for p in head.requires_grad_(True).parameters()]
    kernels, rest = [p for p in learning if p.ndim > 1], [p for p in learning if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)
    chances = [_chances(looks.weights), _chances(looks.weights * (looks.classes >= 0))]

    def batch_of(step: int) -> _Batch:
        is_first = step < recipe.steps // 2
        rng = np.random.default_rng([recipe.seed, step])
        rows = np.searchsorted(chances[0 if is_first else 1], rng.random(recipe.batch), side="right")
        truth = looks.labels if is_first else looks.classes
        maps = torch.from_numpy(looks.maps[rows]).float()
        return _Batch(is_first, maps, torch.from_numpy(truth[rows]), torch.from_numpy(looks.boxes[rows]))

    def losses_of(batch: _Batch) -> dict[str, Tensor]:
        heads.classify.train(batch.is_first)
        heads.locate.train(not batch.is_first)
        if batch.is_first:
            loss = class_loss(heads.classify(batch.maps), batch.truth)
            return {"loss": loss, "class": loss}
        loss = box_loss(heads.locate(batch.maps).unflatten(1, (-1, 4)), batch.boxes, batch.truth)
        return {"loss": loss, "box": loss}

    yield from two_stage.run(
        model, optimizer, out, recipe, about, batch_of, losses_of, lambda step: schedule(step, recipe)
    )


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the rate: 1, then a tenth, in each half of the run."""
    half = max(recipe.steps // 2, 1)
    return 1.0 if step % half < recipe.drop * half else 0.1


def _chances(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulated probabilities, of which the last is 1."""
    sums = np.cumsum(weights)
    return np.asarray(sums / sums[-1], np.float64)


def described(network: str, names: Sequence[str]) -> dict[str, str]:
    """What a checkpoint says of itself."""
    return {"network": network, "names": json.dumps(list(names))}
