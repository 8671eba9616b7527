"""The recipe of OverFeat: `watchline train overfeat --data DIR --out DIR`.

Windows of pictures are drawn as the lecture says: "augment the data by random shifts and multi-scales, but keep only
the ones with 50 % overlap with the desired bounding box". Those with less are background, or left out. The trunk keeps
ImageNet's weights; its maps are computed once, and the heads learn from them one after the other (train/heads.py).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise
from watchline.models.localizer import CELLS
from watchline.models.overfeat import BEFORE, FIELD, GREY, SIDES, STRIDE, WINDOW, OverFeat
from watchline.ops.boxes import iou
from watchline.train import heads, looks
from watchline.train.own_data.dataset import DataSet, PictureFile
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT

BACKGROUND, UNSURE = 0, -1  # labels of windows; a class c has the label c + 1


@dataclass(frozen=True)
class Recipe(heads.Recipe):
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        looks: scales at which each picture is seen.
        windows: of each look; half of them show an object, where there are so many.
        least, most: square root of an object's area, in windows, at the scale that is drawn for it.
        near: IoU from which a window shows an object.
        far: IoU with every object below which it shows background.
        background: share of it in what the class head learns from.
    """

    looks: int = 1
    windows: int = 16
    least: float = 0.75  # an object of less than 0.71 fills less than half of any window
    most: float = 1.3
    near: float = 0.5
    far: float = 0.3
    background: float = 0.5


@dataclass(frozen=True)
class Look:
    """A picture at one scale, shifted against the windows.

    Attributes:
        size: (width, height) of the scaled picture in pixels.
        shift: (x, y) of its corner, from the first window's.
        mirrored: left and right are exchanged.
        places: (M, 2) int64, column and row of the windows that are learned from.
        labels: (M,) int64, of the windows: BACKGROUND, or a class + 1.
        boxes: (M, 4) float32, of their objects as x, y, w, h in windows; zeros where there is none.
    """

    size: tuple[int, int]
    shift: tuple[int, int]
    mirrored: bool
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of windows, of which the last reach the picture's edge."""
        return grid_of(self.size, self.shift)

    def canvas(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The fields of all windows (FIELD + 16 * rows - 16, …, 3) with the picture (H, W, 3) in them."""
        columns, rows = self.grid
        canvas = np.full((FIELD + STRIDE * (rows - 1), FIELD + STRIDE * (columns - 1), 3), GREY, np.uint8)
        scaled = cv2.resize(pixels, self.size, interpolation=cv2.INTER_LINEAR)
        (x, y), (width, height) = (BEFORE + side for side in self.shift), self.size
        canvas[y : y + height, x : x + width] = scaled[:, ::-1] if self.mirrored else scaled
        return canvas


def grid_of(size: tuple[int, int], shift: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of windows over a picture."""
    columns, rows = (1 + max(0, -(-(s + by - WINDOW) // STRIDE)) for s, by in zip(size, shift, strict=True))
    return columns, rows


def look_of(file: PictureFile, rng: np.random.Generator, recipe: Recipe) -> Look:
    """A picture at a scale at which one of its objects is as large as a window, and some of its windows."""
    longest = max(file.size)
    sides = file.boxes[:, 2:] - file.boxes[:, :2]
    real = np.flatnonzero(~file.ignore)
    if len(real):
        area = float(sides[rng.choice(real)].prod())
        zoom = WINDOW * rng.uniform(recipe.least, recipe.most) / area**0.5
    else:
        zoom = rng.uniform(SIDES[0], SIDES[-1]) / longest
    zoom = float(np.clip(zoom, SIDES[0] / longest, SIDES[-1] / longest))
    width, height = size = max(1, round(file.size[0] * zoom)), max(1, round(file.size[1] * zoom))
    shift = int(rng.integers(STRIDE)), int(rng.integers(STRIDE))
    mirrored = bool(rng.random() < 0.5)
    boxes = file.boxes * np.array([width / file.size[0], height / file.size[1]] * 2, np.float32)
    if mirrored:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    boxes = boxes + np.array(shift * 2, np.float32)
    columns, rows = grid_of(size, shift)
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    labels, match = label(places, boxes, file, recipe)
    chosen = draw(labels, recipe.windows, rng)
    shares = np.zeros((len(chosen), 4), np.float32)
    shown = labels[chosen] > BACKGROUND
    mine, corner = boxes[match[chosen[shown]]], STRIDE * places[chosen[shown]]
    shares[shown] = np.column_stack([mine[:, :2] - corner, mine[:, 2:] - mine[:, :2]]) / WINDOW
    return Look(size, shift, mirrored, places[chosen], labels[chosen], shares)


def label(
    places: NDArray[np.int64], boxes: NDArray[np.float32], file: PictureFile, recipe: Recipe
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What windows show: the object that they overlap most, if that is enough.

    Args:
        places: (N, 2), column and row.
        boxes: (G, 4) xyxy of the picture's objects, in pixels from the first window's corner.

    Returns:
        labels (N,), UNSURE where a window shows neither an object nor background; and (N,) rows of boxes.
    """
    if not len(boxes):
        return np.full(len(places), BACKGROUND, np.int64), np.zeros(len(places), np.int64)
    corner = (STRIDE * places).astype(np.float32)
    overlap = iou(np.hstack([corner, corner + WINDOW]), boxes)
    match = overlap.argmax(1)
    most = overlap.max(1)
    labels = np.where(most < recipe.far, BACKGROUND, UNSURE)
    shown = (most >= recipe.near) & ~file.ignore[match]
    labels[shown] = file.classes[match[shown]] + 1
    return labels, match


def draw(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of windows to learn from: half show an object, where there are so many. Some come twice if there are few."""
    objects, background = (rng.permutation(np.flatnonzero(which)) for which in (labels > 0, labels == BACKGROUND))
    half = objects[: max(count // 2, count - len(background))]
    rows = np.concatenate([half, background[: count - len(half)]])
    if not len(rows):  # every window is unsure: they are there, but never drawn
        rows = np.arange(len(labels))
    return np.resize(rows, count)


def train(
    data: DataSet, out: Path, cache: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        cache: folder for the trunk's maps.
        tell: hears how far the maps are.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or of other classes, or a broken one.
        DatasetError: a picture cannot be read.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    model = OverFeat(len(data.names), EfficientNetLite0.pretrained()).eval()
    frozen = looks.quick(model)
    planned = []
    for number, one in enumerate(data.train):
        rng = np.random.default_rng([recipe.seed, number])
        planned.append([look_of(one, rng, recipe) for _ in range(recipe.looks)])

    def maps_of(number: int, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return torch.cat([windows_of(frozen, one, pixels) for one in planned[number]])

    plan = (recipe.looks, recipe.windows, recipe.least, recipe.most, recipe.near, recipe.far, recipe.seed)
    shape = (recipe.looks * recipe.windows, CHANNELS[1], CELLS, CELLS)
    maps = looks.cached(data.train, shape, maps_of, cache, f"overfeat {plan}", tell)
    labels = np.concatenate([one.labels for its in planned for one in its])
    boxes = np.concatenate([one.boxes for its in planned for one in its])
    seen = heads.Looks(
        maps.reshape(-1, *maps.shape[2:]),
        np.maximum(labels, BACKGROUND),
        np.where(labels > BACKGROUND, labels - 1, -1),
        boxes,
        weights_of(labels, recipe.background),
    )
    yield from heads.train(model, model.heads, seen, out, recipe, heads.described("overfeat", data.names))


def windows_of(model: OverFeat, look: Look, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """The trunk's maps (M, 112, 7, 7) of the look's windows, of a picture (H, W, 3) BGR."""
    rgb = look.canvas(pixels)[None, ..., ::-1].transpose(0, 3, 1, 2)
    maps = model.features(normalise(torch.from_numpy(rgb.copy())))  # (1, 112, rows + 6, columns + 6)
    each = maps[0].unfold(1, CELLS, 1).unfold(2, CELLS, 1)  # (112, rows, columns, 7, 7)
    columns, rows = torch.from_numpy(look.places).T
    return each[:, rows, columns].transpose(0, 1)


def weights_of(labels: NDArray[np.int64], background: float) -> NDArray[np.float64]:
    """How often windows are drawn: rare classes more often, by the root of their number; the unsure ones never.

    Args:
        labels: (N,). background: its share.
    """
    known = labels != UNSURE
    counts = np.bincount(labels[known], minlength=1)
    weights = np.where(known, 1 / np.sqrt(np.maximum(counts, 1))[np.maximum(labels, 0)], 0.0)
    for which, share in ((labels == BACKGROUND, background), (labels > BACKGROUND, 1 - background)):
        weights[which] *= share / max(weights[which].sum(), 1e-12)
    return np.asarray(weights, np.float64)
