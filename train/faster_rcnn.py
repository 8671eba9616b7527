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

import torch
from torch import Tensor

from watchline.models.fast_rcnn import TrueBoxes, Trunk
from watchline.models.faster_rcnn import SCALES, SIDE, FasterRCNN, RegionSettings
from watchline.ops.voc import VOC
from watchline.train import checkpoint, region_recipe, two_stage
from watchline.train.datasets import Sample
from watchline.train.region_recipe import batch_of, optimizer_of, schedule
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT


@dataclass(frozen=True)
class Recipe(region_recipe.Recipe):
    """Settings of a training run, which are saved in the checkpoint. The defaults are for EfficientNet-Lite0.

    Attributes:
        before, proposals: of the network's settings.
    """

    before: int = 1000
    proposals: int = 500


LITE = Recipe()
"""For EfficientNet-Lite0 on two cores: smaller pictures and mini-batches, more pictures per step."""

PAPER = Recipe(
    steps=80_000,
    batch=1,
    size=608,
    zoom=1.0,
    rate=0.001,
    warmup=0,
    average=0.0,
    before=3840,
    proposals=2000,
    regions=128,
    save_every=500,
)
"""The paper's, for VGG-16."""

RECIPES = {"vgg16": PAPER, "efficientnet-lite0": LITE}


def build(trunk: Trunk, recipe: Recipe, classes: int) -> FasterRCNN:
    """The network that a recipe trains, with anchors in proportion to the input."""
    settings = RegionSettings(
        scales=tuple(scale * recipe.size / SIDE for scale in SCALES),
        before=recipe.before,
        proposals=recipe.proposals,
        regions=recipe.regions,
    )
    return FasterRCNN(trunk, classes, settings)


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
        optimizer_of(model, recipe),
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
