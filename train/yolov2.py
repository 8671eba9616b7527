"""The recipe of the shipped detector: `watchline train yolov2 --data DIR --out DIR`.

AdamW with a cosine schedule, an average of the weights, multi-scale training, half of the views mosaics until the
last steps. Each step draws its pictures from (seed, step) alone, so a run that was stopped goes on as if it had
not been.
"""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.yolov2 import STRIDE, Targets, YOLOv2, normalise, region_loss
from watchline.ops.priors import dimension_priors
from watchline.train import augment, checkpoint
from watchline.train.datasets import Sample
from watchline.train.mixture import Mixture

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; the checkpoint carries them.

    Attributes:
        steps: optimizer steps. batch: pictures a step. sizes: input sizes drawn at random, multiples of 32.
        priors: how many. frozen: blocks of the backbone that keep their ImageNet weights (after the stem).
        lr_backbone, lr_head, decay: of AdamW. warmup: steps of linear rise. average: decay of the weights' average.
        mosaic: share of mosaics, nought in the last `calm` share of the steps.
        save_every: steps between checkpoints. seed: of everything random.
    """

    steps: int = 3000
    batch: int = 16
    sizes: tuple[int, ...] = (256, 288, 320, 352)
    priors: int = 6
    frozen: int = 3
    lr_backbone: float = 3e-4
    lr_head: float = 2e-3
    decay: float = 0.02
    warmup: int = 150
    average: float = 0.998
    mosaic: float = 0.5
    calm: float = 0.15
    save_every: int = 100
    seed: int = 0


def learn_priors(data: Mixture, recipe: Recipe) -> Tensor:
    """Dimension priors in cells of the grid, from 1500 training views of the middle size."""
    rng = np.random.default_rng(recipe.seed)
    size = sorted(recipe.sizes)[len(recipe.sizes) // 2]
    views = [_view(data, size, recipe.mosaic, rng) for _ in range(1500)]
    boxes = np.concatenate([v.boxes[~v.ignore] for v in views])
    return torch.from_numpy(dimension_priors(boxes[:, 2:] - boxes[:, :2], recipe.priors, recipe.seed) / STRIDE)


def batch_of(data: Mixture, recipe: Recipe, step: int) -> tuple[Tensor, Targets]:
    """The batch of a step: images (B, 3, S, S) uint8 RGB and their targets; the same for the same seed and step."""
    rng = np.random.default_rng([recipe.seed, step])
    size = int(rng.choice(recipe.sizes))
    mosaics = recipe.mosaic if step < recipe.steps * (1 - recipe.calm) else 0.0
    views = [_view(data, size, mosaics, rng) for _ in range(recipe.batch)]
    images = np.stack([v.image[..., ::-1].transpose(2, 0, 1) for v in views])
    return torch.from_numpy(images), Targets(
        image=torch.from_numpy(np.repeat(np.arange(len(views)), [len(v.boxes) for v in views])),
        boxes=torch.from_numpy(np.concatenate([v.boxes for v in views])),
        classes=torch.from_numpy(np.concatenate([v.classes for v in views])),
        ignore=torch.from_numpy(np.concatenate([v.ignore for v in views])),
    )


def _view(data: Mixture, size: int, mosaics: float, rng: np.random.Generator) -> Sample:
    if rng.random() < mosaics:
        return augment.mosaic([data.draw(rng) for _ in range(4)], size, rng)
    return augment.single(data.draw(rng), size, rng)


def train(data: Mixture, out: Path, recipe: Recipe, threads: int) -> Iterator[dict[str, float]]:
    """Train, or go on where `out/checkpoint.pt` stopped. Yields the figures of each step.

    The checkpoint holds the averaged weights under "model", and all that the next step needs.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe, or a broken one.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    file = out / CHECKPOINT
    saved = checkpoint.read(file) if file.is_file() else None
    if saved:
        checkpoint.check_recipe(file, saved, json.dumps(asdict(recipe)))
    priors = saved["priors"] if saved else learn_priors(data, recipe)
    model = YOLOv2(priors, backbone=EfficientNetLite0.pretrained())
    cast(Any, model).to(memory_format=torch.channels_last)  # a fifth faster; not every torch's types know it
    freeze(model, recipe.frozen)
    optimizer = _optimizer(model, recipe)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    step = 0
    if saved:
        model.load_state_dict(saved["live"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step = saved["model"], saved["step"]
    rates = [group["lr"] for group in _optimizer(model, recipe).param_groups]
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch_of, data, recipe, step)
        while step < recipe.steps:
            started = time.perf_counter()
            images, targets = coming.result()
            coming = ahead.submit(batch_of, data, recipe, step + 1)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step, recipe)
            raw = model(normalise(images).contiguous(memory_format=torch.channels_last))
            parts = region_loss(raw, model.priors, targets)
            optimizer.zero_grad(set_to_none=True)
            parts["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            step += 1
            _blend(average, model.state_dict(), min(recipe.average, (1 + step) / (10 + step)))
            if step % recipe.save_every == 0 or step == recipe.steps:
                state = {"model": average, "live": model.state_dict(), "optimizer": optimizer.state_dict()}
                checkpoint.write(file, {**state, "priors": priors, "step": step, "recipe": json.dumps(asdict(recipe))})
            figures = {name: float(value.detach()) for name, value in parts.items()}
            yield {"step": step, **figures, "size": images.shape[-1], "seconds": time.perf_counter() - started}


def freeze(model: YOLOv2, blocks: int) -> None:
    """Hold the stem and the first blocks: no gradient, and their batch statistics stay ImageNet's."""
    model.train()
    for part in (model.backbone.stem, *model.backbone.blocks[:blocks]):
        part.requires_grad_(False).eval()


def schedule(step: int, recipe: Recipe) -> float:
    """The share of the learning rate at a step: linear rise, then half a cosine to 1 %."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def _optimizer(model: YOLOv2, recipe: Recipe) -> torch.optim.AdamW:
    """Four groups: backbone and head, with weight decay on kernels and without on the rest."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((name.startswith("backbone."), p.ndim > 1), []).append(p)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": recipe.lr_backbone if backbone else recipe.lr_head,
                "weight_decay": recipe.decay if kernels else 0.0,
            }
            for (backbone, kernels), members in groups.items()
        ]
    )


def _blend(average: dict[str, Tensor], live: dict[str, Tensor], decay: float) -> None:
    for name, value in live.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
