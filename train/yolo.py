"""The recipe of YOLO, after section 2.2 of its paper: `watchline train yolo --data DIR --out DIR`.

A view is one picture, scaled and shifted by up to a fifth of its size and recoloured, as in the paper; no mosaics, no
other size than the one that the fully connected layers were made for. AdamW and an average of the weights stand in
place of SGD and its steps of the rate, as in the project's other recipes.
"""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from watchline.export.pytorch import yolo as exporter
from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.yolo import SIZE, YOLO, decode
from watchline.ops.voc import VOC
from watchline.train import single_shot
from watchline.train.pictures import LabelledPicture
from watchline.train.single_shot import Network, Recipe
from watchline.train.validation import Detect
from watchline.train.views import Store, ViewSettings

VIEWS = ViewSettings(shares=(1.0, 0.0, 0.0), single=(0.8, 1.2))
RECIPE = Recipe(
    sizes=(SIZE,), calm_sizes=(SIZE,), views=VIEWS, calm_views=VIEWS, frozen=10, lr_backbone=2e-4, lr_head=5e-4
)
"""The paper's pretrained layers learn too. Here the first ten blocks of the backbone, most of a step's time, do not."""


def train(
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str = "cpu",
    names: Sequence[str] = VOC,
) -> Generator[dict[str, float], None, None]:
    """Train from ImageNet's backbone, as `single_shot.train` does. Raises the same errors."""

    def begin(store: Store) -> YOLO:
        return YOLO(len(names), EfficientNetLite0.pretrained()).to(store.device)

    return single_shot.train(Network(begin, like), pictures, out, recipe, threads, device, names=names)


def like(state: Mapping[str, Tensor]) -> YOLO:
    """An untrained network with the classes of these weights."""
    return YOLO(exporter.classes_of(state))


def load(file: Path, device: torch.device) -> Detect:
    """The network in a checkpoint, in evaluation. Raises CheckpointRefused: there is none in it."""
    model = exporter.load(file).to(device)

    def detect(images: Tensor) -> tuple[Tensor, Tensor]:
        return decode(model(normalise(images)))

    return detect
