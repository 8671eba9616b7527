"""The recipe of the small Mask R-CNN: `watchline train mask-rcnn --data DIR --out DIR`.

He et al. (2017), section 3.1: end to end with all losses. Here with AdamW and a cosine schedule, from ImageNet's
weights, on views with people pasted from other photos. Random numbers of a step depend only on the seed and the step,
so a run that was stopped continues as if it had not been stopped.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import CheckpointError, DatasetError
from watchline.models.faster_rcnn import TrueBoxes
from watchline.models.mask_rcnn_lite import LABELS, LiteMaskRCNN
from watchline.train import checkpoint, people
from watchline.train.people import Masked
from watchline.train.people_views import Views, draw

NETWORK = "mask-rcnn"
CHECKPOINT = "checkpoint.pt"


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


def train(sets: Sequence[Sequence[Masked]], out: Path, recipe: Recipe, threads: int) -> Iterator[dict[str, float]]:
    """Train from ImageNet's weights, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        sets: of photos; people are pasted from the first.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or network, or a broken one.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    file = out / CHECKPOINT
    model = LiteMaskRCNN(len(LABELS), backbone=EfficientNetLite0.pretrained())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs do not know it
    freeze(model)
    optimizer = _optimizer(model, recipe)
    about = {"network": NETWORK, "recipe": json.dumps(asdict(recipe))}
    step = _resume(file, about, model, optimizer) if file.is_file() else 0
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch_of, sets, recipe, step)
        while step < recipe.steps:
            started = time.perf_counter()
            images, truths, planes = coming.result()
            coming = ahead.submit(batch_of, sets, recipe, step + 1)
            torch.manual_seed(int(np.random.SeedSequence([recipe.seed, 2, step]).generate_state(1)[0]))
            for group in optimizer.param_groups:
                group["lr"] = group["top"] * schedule(step, recipe)
            losses = model.losses(images.contiguous(memory_format=torch.channels_last), truths, planes)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            step += 1
            if step % recipe.save_every == 0 or step == recipe.steps:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                checkpoint.write(file, {**about, **state})
            figures = {key: float(value.detach()) for key, value in losses.items()}
            yield {"step": step, **figures, "seconds": time.perf_counter() - started}


def freeze(model: LiteMaskRCNN) -> None:
    """Freeze the first layers, and all batch statistics: a step has too few pictures for statistics of its own."""
    model.train()
    for part in model.pyramid.early():
        part.requires_grad_(False)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def schedule(step: int, recipe: Recipe) -> float:
    """The factor on the learning rate at a step: it rises linearly, then falls to 0 as half a cosine."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return (1 + math.cos(math.pi * (step - recipe.warmup) / (recipe.steps - recipe.warmup))) / 2


def _optimizer(model: LiteMaskRCNN, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW on what learns, the backbone at its own rate. `top` is the highest rate of a group."""
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
            groups.append({"params": chosen, "weight_decay": decay, "top": rate})
    return torch.optim.AdamW(groups, lr=recipe.rate)


def _resume(file: Path, about: dict[str, str], model: LiteMaskRCNN, optimizer: torch.optim.AdamW) -> int:
    """Load a checkpoint. Returns its step."""
    saved = checkpoint.read(file)
    if saved.get("network") != NETWORK:
        raise CheckpointError(f"{file} was started with another network, {saved.get('network')}: name another --out")
    checkpoint.check_recipe(file, saved, about["recipe"])
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])
