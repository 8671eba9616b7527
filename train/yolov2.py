"""The recipe of YOLOv2: `watchline train yolov2 --data DIR --out DIR`, and `python -m watchline.train run`."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from watchline.export.pytorch.exported import calibrate
from watchline.models.errors import DatasetError
from watchline.models.yolov2 import STRIDE, YOLOv2, like
from watchline.ops.priors import dimension_priors
from watchline.ops.voc import VOC
from watchline.train import single_shot
from watchline.train.initial import ONNX, network, views
from watchline.train.pictures import LabelledPicture
from watchline.train.single_shot import LAYOUTS, Network, middle, time_steps
from watchline.train.views import Store, lay_out
from watchline.train.views import targets as targets_of


@dataclass(frozen=True)
class Recipe(single_shot.Recipe):
    """Settings of a training run. Attributes: priors, their number."""

    priors: int = 6


RECIPES = {
    "cpu": Recipe(),
    "cuda": Recipe(
        batch=128, sizes=(320, 416, 512), calm_sizes=(416, 416, 512), frozen=0, lr_backbone=1.5e-3, lr_head=2.5e-3
    ),
}


def learn_priors(store: Store, recipe: Recipe) -> Tensor:
    """Dimension priors in cells of the grid, from the boxes of 800 training views of the middle size.

    Raises:
        DatasetError: there are hardly any boxes.
    """
    size = middle(recipe.sizes)
    generator = torch.Generator(store.device).manual_seed(recipe.seed)
    sizes = []
    for _ in range(50):
        truth = targets_of(store, lay_out(store, 16, size, recipe.views, generator))  # their pixels are not needed
        boxes = truth.boxes[~truth.ignore].cpu().numpy()
        sizes.append(boxes[:, 2:] - boxes[:, :2])
    if (count := sum(map(len, sizes))) < recipe.priors:
        raise DatasetError(
            f"800 views show {count} objects: expected {recipe.priors} at least; label more, or larger ones"
        )
    return torch.from_numpy(dimension_priors(np.concatenate(sizes), recipe.priors, recipe.seed) / STRIDE)


def train(
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str = "cpu",
    start: Path | None = None,
    report: int = 1,
    names: Sequence[str] = VOC,
) -> Generator[dict[str, float], None, None]:
    """Train as `single_shot.train` does. Args: start, what a new run starts from, as in `watchline.train.initial`.

    Raises:
        CheckpointError: as there; or `start` is not a network.
        ModelRefused: `start` is a broken ONNX.
    """

    def begin(store: Store) -> YOLOv2:
        model = network(start, learn_priors(store, recipe), names).to(store.device)
        if start and start.suffix == ONNX:
            calibrate(model, views(store))
        return model

    return single_shot.train(Network(begin, like), pictures, out, recipe, threads, device, report, names)


def try_out(store: Store, recipe: Recipe, start: Path | None) -> Iterator[str]:
    """Run a few steps of each size with each memory layout. Yields a line about each."""
    priors = learn_priors(store, recipe)
    yield f"priors {(priors * STRIDE).round().int().tolist()}"
    model = network(start, priors)
    for layout in LAYOUTS:
        for size in sorted(set(recipe.sizes)):
            first, median = time_steps(store, recipe, model, layout, size)
            memory = torch.cuda.max_memory_allocated() / 2**30 if store.device.type == "cuda" else 0.0
            yield (
                f"{layout} {size}: batch {recipe.batch}, {recipe.batch / median:.0f} views/s, first {first:.1f} s, "
                f"step {median * 1e3:.0f} ms, {memory:.1f} GiB"
            )
