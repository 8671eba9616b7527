"""The recipes of the detectors whose input has a fixed size: `watchline train yolo` and `watchline train ssd`.

A view is one picture, as in the papers: no mosaics. YOLO's is scaled and shifted by up to a fifth of its size (section
2.2), SSD's is a part or a smaller copy (section 2.2, data augmentation). AdamW and an average of the weights stand in
place of SGD and its steps of the rate, as in the project's other recipes.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from watchline.export.pytorch.fixed_size import NETWORKS
from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.single_shot import SingleShot
from watchline.models.ssd_lite0 import SHAPES, SSDLite0
from watchline.models.yolo import SIZE, YOLO
from watchline.ops.voc import VOC
from watchline.train import checkpoint, single_shot
from watchline.train.pictures import LabelledPicture
from watchline.train.single_shot import Network, Recipe
from watchline.train.views import Store, ViewSettings

SINGLE = (1.0, 0.0, 0.0)
YOLO_VIEWS, SSD_VIEWS = ViewSettings(SINGLE, single=(0.8, 1.2)), ViewSettings(SINGLE, single=(0.5, 2.0))
SIZES = {"yolo": (SIZE,), "ssd": tuple(SHAPES)}
"""The sides of the input in pixels that a network can have; the first is the default."""


def recipe_of(name: str, size: int) -> Recipe:
    """The recipe of "yolo" or "ssd" for an input of a size of SIZES.

    Where the papers' pretrained layers all learn, the first blocks of the backbone, most of a step's time, do not.
    """
    views = {"yolo": YOLO_VIEWS, "ssd": SSD_VIEWS}[name]
    frozen = {"yolo": 10, "ssd": 3}[name]
    return Recipe(
        sizes=(size,), calm_sizes=(size,), views=views, calm_views=views, frozen=frozen, lr_backbone=2e-4, lr_head=5e-4
    )


def train(
    name: str,
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str = "cpu",
    names: Sequence[str] = VOC,
    start: Path | None = None,
) -> Generator[dict[str, float], None, None]:
    """Train "yolo" or "ssd", as `single_shot.train` does. Raises the same errors.

    Args: start, a checkpoint of the same network that a new run starts from; None for ImageNet's backbone alone.
    """

    def begin(store: Store) -> SingleShot:
        backbone = EfficientNetLite0.pretrained()
        [size] = recipe.sizes
        model = YOLO(len(names), backbone) if name == "yolo" else SSDLite0(len(names), size, backbone)
        if start:
            model.load_state_dict(checkpoint.read(start)["model"])
        return model.to(store.device)

    return single_shot.train(Network(begin, NETWORKS[name][1]), pictures, out, recipe, threads, device, names=names)
