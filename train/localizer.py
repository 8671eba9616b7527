"""The recipe of classification + localization: `watchline train localizer --data DIR --out DIR`.

The lecture's four steps (models/localizer.py). Pictures with exactly one object are learned from, and measured on, as
in ILSVRC's localization. A look is a crop of a picture, stretched to the network's input: the complete picture, its
mirror image, and random crops that keep most of the object.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise
from watchline.models.errors import DatasetError
from watchline.models.localizer import CELLS, SIDE, Localizer, decode
from watchline.ops import localization
from watchline.ops.average_precision import Predictions, Truth
from watchline.streams.photo import read_photo
from watchline.train import heads, looks
from watchline.train.own_data.dataset import DataSet, PictureFile
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT

Boxes = Literal["agnostic", "specific"]
KEPT = 0.8  # least share of the object that a crop has
TRIES = 20


@dataclass(frozen=True)
class Recipe(heads.Recipe):
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        boxes: "agnostic", one box, or "specific", one for each class.
        looks: crops of each picture, the complete picture and its mirror image among them.
        smallest: least share of the picture's sides that a random crop has.
    """

    boxes: Boxes = "specific"
    looks: int = 8
    smallest: float = 0.6


def of_one_object(data: DataSet) -> DataSet:
    """The pictures with exactly one object, and their classes. Raises DatasetError: there is none to train on."""
    train, val = (
        [one for one in split if len(one.boxes) == 1 and not one.ignore[0]] for split in (data.train, data.val)
    )
    if not train:
        raise DatasetError(
            f"none of {len(data.train)} pictures to train on has exactly one object: expected some, as ILSVRC's have"
        )
    taught = np.unique([one.classes[0] for one in train])
    new = {old: number for number, old in enumerate(taught.tolist())}

    def renumbered(split: Sequence[PictureFile]) -> tuple[PictureFile, ...]:
        known = (one for one in split if int(one.classes[0]) in new)
        return tuple(replace(one, classes=np.array([new[int(one.classes[0])]])) for one in known)

    return DataSet(tuple(data.names[old] for old in taught), renumbered(train), renumbered(val), data.notes)


@dataclass(frozen=True)
class Crop:
    """Attributes: x1, y1, x2, y2, its edges in pixels of the picture; mirrored."""

    x1: int
    y1: int
    x2: int
    y2: int
    mirrored: bool

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (SIDE, SIDE, 3) of a picture (H, W, 3)."""
        part = cv2.resize(pixels[self.y1 : self.y2, self.x1 : self.x2], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        return np.asarray(part[:, ::-1] if self.mirrored else part, np.uint8)

    def box(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """A box (4,) xyxy in pixels of the picture as x, y, w, h in shares of the crop, clipped to it."""
        origin, size = np.array([self.x1, self.y1] * 2), np.array([self.x2 - self.x1, self.y2 - self.y1] * 2)
        left, upper, right, lower = np.clip((box - origin) / size, 0, 1)
        return np.array([1 - right if self.mirrored else left, upper, right - left, lower - upper], np.float32)


def crops_of(file: PictureFile, number: int, recipe: Recipe) -> list[Crop]:
    """The crops of a picture: the complete picture, its mirror image, then random ones."""
    rng = np.random.default_rng([recipe.seed, number])
    width, height = file.size
    whole = [Crop(0, 0, width, height, mirrored) for mirrored in (False, True)]
    random = (_random(file, rng, recipe.smallest) or whole[rng.integers(2)] for _ in range(recipe.looks - 2))
    return [*whole, *random][: recipe.looks]


def _random(file: PictureFile, rng: np.random.Generator, smallest: float) -> Crop | None:
    """A crop with most of the object; None if none is found soon, as where the object fills the picture."""
    (width, height), (x1, y1, x2, y2) = file.size, file.boxes[0].tolist()
    for _ in range(TRIES):
        w, h = (max(1, round(side * rng.uniform(smallest, 1))) for side in file.size)
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        inside = max(0, min(x2, x + w) - max(x1, x)) * max(0, min(y2, y + h) - max(y1, y))
        if inside >= KEPT * (x2 - x1) * (y2 - y1):
            return Crop(x, y, x + w, y + h, bool(rng.random() < 0.5))
    return None


def tensor_of(crops: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(B, 3, SIDE, SIDE) RGB, normalised, of crops (SIDE, SIDE, 3) BGR."""
    return normalise(torch.from_numpy(np.stack(crops)[..., ::-1].transpose(0, 3, 1, 2).copy()))


def train(
    data: DataSet, out: Path, cache: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        data: of `of_one_object`.
        cache: folder for the backbone's maps.
        tell: hears how far the maps are.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or of other classes, or a broken one.
        DatasetError: a picture cannot be read.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    classes = len(data.names)
    model = Localizer(classes, classes if recipe.boxes == "specific" else 1, EfficientNetLite0.pretrained()).eval()
    crops = [crops_of(one, number, recipe) for number, one in enumerate(data.train)]
    frozen = looks.quick(model)
    maps = looks.cached(
        data.train,
        (recipe.looks, CHANNELS[-1], CELLS, CELLS),
        lambda number, pixels: frozen.features(tensor_of([crop.of(pixels) for crop in crops[number]])),
        cache,
        f"localizer {recipe.looks} {recipe.smallest} {recipe.seed}",
        tell,
    )
    labels = np.repeat([int(one.classes[0]) for one in data.train], recipe.looks)
    boxes = np.stack([crop.box(one.boxes[0]) for one, its in zip(data.train, crops, strict=True) for crop in its])
    seen = heads.Looks(maps.reshape(-1, *maps.shape[2:]), labels, labels, boxes, np.ones(len(labels)))
    yield from heads.train(model, model.heads, seen, out, recipe, heads.described("localizer", data.names))


def measure(model: Localizer, files: Sequence[PictureFile]) -> dict[str, float]:
    """ILSVRC's figures on pictures with one object each, top-5 and top-1, and the share of right classes, "class".

    Args:
        model: in evaluation.
        files: of `of_one_object`.
    """
    found, truth = [], []
    for one in files:
        whole = Crop(0, 0, *one.size, mirrored=False)
        with torch.inference_mode():
            logits, shares = model(tensor_of([whole.of(read_photo(one.path).pixels)]))
        guesses, scores = decode(logits, shares, 1)
        boxes = guesses[0].numpy() * np.array(one.size * 2, np.float32)
        found.append(Predictions(boxes, scores[0].amax(1).numpy(), np.arange(len(boxes))))
        truth.append(Truth(one.boxes, one.classes, one.ignore))
    right = [seen.scores.argmax() == real.classes[0] for seen, real in zip(found, truth, strict=True)]
    figures = localization.figures(localization.guesses(found, truth), np.ones(len(files), np.bool_))
    return {name: float(value) for name, value in figures.items()} | {"class": float(np.mean(right))}
