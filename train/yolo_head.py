"""The first part of YOLO's training: its head alone learns, on maps of the frozen backbone that are computed once.

The last layer has rows of its own for each cell, so every class has to be seen in every cell: the paper trains for 135
epochs. On such maps a view costs a small part of what it costs through the whole network. The order is the lecture's of
classification + localization: first the new layers alone, then the network.
"""

import hashlib
import json
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise
from watchline.models.single_shot import Targets
from watchline.models.yolo import GRID, SIZE, YOLO
from watchline.train import checkpoint, looks, single_shot, two_stage
from watchline.train.averaged import optimizer_of, schedule
from watchline.train.looks import Maps
from watchline.train.mixed import autocast
from watchline.train.pictures import LabelledPicture
from watchline.train.views import Store, ViewSettings, draw, lay_out, targets

FOLDER = "head"  # of a run
SHAPE = (CHANNELS[-1], 2 * GRID, 2 * GRID)  # of the maps of a view
AT_ONCE = 16  # views whose maps are computed together
MOST = 32 * 1024  # views, of 125 kB each
PASSES = 20  # over all maps
BATCH = 64
EVERY = 100  # times AT_ONCE views, between lines


@dataclass(frozen=True)
class Recipe:
    """Settings of this part, which are saved in its checkpoint.

    Attributes:
        views: whose maps are kept; a multiple of AT_ONCE.
        steps: optimizer steps.
        batch: maps per step.
        lr_head, lr_backbone, decay, warmup, minutes: of AdamW and its schedule, as of the whole network.
        clip: limit of the gradient's norm.
        average: decay of the weights' average.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    views: int
    steps: int
    batch: int
    lr_head: float = 1e-3
    lr_backbone: float = 0.0
    decay: float = 0.03
    warmup: int = 200
    minutes: float = 0.0
    clip: float = 10.0
    average: float = 0.999
    save_every: int = 500
    seed: int = 0

    @property
    def gibibytes(self) -> float:
        """What the maps take on the disk."""
        return self.views * math.prod(SHAPE) * 2 / 2**30


def recipe_for(whole: single_shot.Recipe) -> Recipe:
    """The recipe before that of the whole network: as many views as that has, but not more than MOST."""
    views = AT_ONCE * -(-min(MOST, whole.steps * whole.batch) // AT_ONCE)
    batch = min(BATCH, views)
    return Recipe(views, PASSES * views // batch, batch, seed=whole.seed)


def train(
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    views: ViewSettings,
    threads: int,
    device: str,
    names: Sequence[str],
    tell: Callable[[str], None],
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        pictures: training pictures.
        out: folder of the checkpoint, and of the maps until the last step.
        views: how pictures are seen.
        threads: of PyTorch on a CPU, and for decoding the pictures.
        device: "cpu" or "cuda".
        names: of the classes.
        tell: hears how far the maps are.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or of other classes, or cannot be used.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    about = {"network": "yolo", "names": json.dumps(list(names))}
    if two_stage.is_over(out, recipe, about):
        return
    where = torch.device(device)
    store = Store.of(pictures, where, threads)
    model = YOLO(len(names), EfficientNetLite0.pretrained()).to(where)
    model.backbone.requires_grad_(False)
    optimizer = optimizer_of(model, single_shot.BACKBONE, recipe)
    file = out / f"maps-{_digest(store, recipe, views)}.npy"
    maps = maps_of(model, store, file, recipe, views, tell)
    truths = [
        targets(store, lay_out(store, AT_ONCE, SIZE, views, _generator(store, recipe, number)))
        for number in range(recipe.views // AT_ONCE)
    ]

    def batch_of(step: int) -> tuple[Tensor, Targets]:
        rng = np.random.default_rng([recipe.seed, 1, step])
        rows = np.sort(rng.choice(len(maps), recipe.batch, replace=False))
        return torch.from_numpy(maps[rows]).to(where), gathered(truths, rows.tolist())

    def losses_of(batch: tuple[Tensor, Targets]) -> dict[str, Tensor]:
        with autocast(where):
            raw = model.head(batch[0].float())
        return model.losses(raw.float(), batch[1])

    def factor(step: int) -> float:
        return schedule(step, step / recipe.steps, recipe)

    model.train()
    yield from two_stage.run(model, optimizer, out, recipe, about, batch_of, losses_of, factor)
    file.unlink()


@torch.inference_mode()
def maps_of(
    model: YOLO, store: Store, file: Path, recipe: Recipe, views: ViewSettings, tell: Callable[[str], None]
) -> Maps:
    """The backbone's last maps of random views, (V, 320, 14, 14) float16, in `file`; those that are there stay.

    Raises:
        CheckpointError: the file cannot be used.
    """
    network = looks.quick(model.backbone)
    maps = looks.opened(file, (recipe.views, *SHAPE))
    for number in range(recipe.views // AT_ONCE):
        part = maps[number * AT_ONCE : (number + 1) * AT_ONCE]
        if part[-1].any():
            continue
        images, _ = draw(store, AT_ONCE, SIZE, views, _generator(store, recipe, number))
        with autocast(store.device):
            part[:] = network(normalise(images))[2].float().cpu().numpy()
        if number % EVERY == 0:
            tell(f"{file.name}: {number * AT_ONCE} of {recipe.views} views")
    return maps


def gathered(truths: Sequence[Targets], rows: Sequence[int]) -> Targets:
    """The targets of a batch of views, by their numbers; AT_ONCE views share one of `truths`. Open regions are left."""
    found = [(truths[row // AT_ONCE], row % AT_ONCE) for row in rows]
    mine = [truth.image == view for truth, view in found]

    def column(name: str) -> Tensor:
        return torch.cat([getattr(truth, name)[its] for (truth, _), its in zip(found, mine, strict=True)])

    counts = torch.stack([its.sum() for its in mine])
    image = torch.arange(len(rows), device=counts.device).repeat_interleave(counts)
    parts = {name: column(name) for name in ("boxes", "classes", "ignore", "sure")}
    return replace(truths[0], image=image, **parts)


def _generator(store: Store, recipe: Recipe, number: int) -> torch.Generator:
    seed = np.random.SeedSequence([recipe.seed, 0, number]).generate_state(1)[0]
    return torch.Generator(store.device).manual_seed(int(seed))


def _digest(store: Store, recipe: Recipe, views: ViewSettings) -> str:
    """Of what the maps depend on."""
    known = hashlib.sha256(f"{recipe.seed} {recipe.views} {views} {store.device.type}".encode())
    for table in (store.width, store.height, store.boxes):
        known.update(table.cpu().numpy().tobytes())
    return known.hexdigest()[:12]
