"""The recipe of R-CNN: `watchline train rcnn --data DIR --out DIR`.

Girshick et al. (2014), section 2.3 and appendix C, in the lecture's order: extract regions of all training images and
warp them; run the CNN and save their features; train one binary SVM per class on them, with hard negatives; and learn
a regressor for the boxes. The SVMs are scikit-learn's (extra `rcnn`). The CNN keeps ImageNet's weights: the paper
also fine-tunes it, on the warped regions, before the features are saved.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.export.pytorch.regions import IMGSZ
from watchline.extras import command
from watchline.models.boxes import encode
from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import CheckpointError
from watchline.models.fast_rcnn import PROPOSALS
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.rcnn import FEATURES, RCNN
from watchline.ops.boxes import Boxes, iou
from watchline.ops.errors import LibraryMissing
from watchline.ops.letterbox import fit
from watchline.ops.selective_search import enlarged
from watchline.train import checkpoint, looks, proposals
from watchline.train.own_data.dataset import DataSet, PictureFile
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT

PIECE = 8192  # rows of features that are in memory at once
NONE = -1  # class of a region that is no true box
NEVER = -10.0  # margin of a class without true boxes: a score of 3e-14


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        regions: of each picture: its true boxes, then proposals, at most a third of them near a true box.
        near: IoU from which a proposal teaches the regressor.
        far: IoU below which a region is a negative of a class.
        margin: the weight of errors in an SVM, scikit-learn's C.
        positive: weight of an error on a positive, of which there are few.
        first: negatives that an SVM begins with, drawn at random.
        hard: the most that are added in a round, those of the largest margin.
        rounds: at most so many.
        enough: share of new negatives below which a class is done.
        ridge: lambda of the regression.
        seed: of all random numbers.
    """

    regions: int = 64
    near: float = 0.6
    far: float = 0.3
    margin: float = 0.001
    positive: float = 2.0
    first: int = 2000
    hard: int = 2000
    rounds: int = 4
    enough: float = 0.01
    ridge: float = 1000.0
    seed: int = 0


@dataclass(frozen=True)
class Regions:
    """The regions of all pictures, row by row.

    Attributes:
        boxes: (M, 4) float32 xyxy in pixels of their picture.
        truth: (M,) int64, the class of a true box; NONE for proposals.
        overlap: (M, C) float16, the largest IoU with a box of each class, also with one that is ignored.
        match: (M,) int64, the class of the true box that a proposal is near to; NONE where there is none.
        goals: (M, 4) float32, the regressor's targets of these.
    """

    boxes: Boxes
    truth: NDArray[np.int64]
    overlap: NDArray[np.float16]
    match: NDArray[np.int64]
    goals: NDArray[np.float32]


def regions_of(file: PictureFile, proposed: Boxes, classes: int, recipe: Recipe, rng: np.random.Generator) -> Regions:
    """`recipe.regions` regions of a picture. Args: proposed (K, 4) in pixels of the picture."""
    real = ~file.ignore
    true_boxes, true_classes = file.boxes[real], file.classes[real]
    candidates = np.concatenate([true_boxes, proposed])
    overlaps = iou(candidates, file.boxes)  # (N, G)
    most = overlaps[:, real].max(1, initial=0.0)
    is_true = np.arange(len(candidates)) < len(true_boxes)
    near = rng.permutation(np.flatnonzero(~is_true & (most >= recipe.near)))[: recipe.regions // 3]
    others = rng.permutation(np.flatnonzero(~is_true & (most < recipe.near)))
    rows = np.concatenate([np.flatnonzero(is_true), near, others])
    rows = np.resize(rows, recipe.regions)  # some come twice if there are few
    boxes, most, overlaps = candidates[rows], most[rows], overlaps[rows]
    of_class = np.zeros((len(rows), classes), np.float16)
    for g, number in enumerate(file.classes.tolist()):
        of_class[:, number] = np.maximum(of_class[:, number], overlaps[:, g])
    match = np.full(len(rows), NONE)
    goals = np.zeros((len(rows), 4), np.float32)
    close = (most >= recipe.near) & ~is_true[rows]
    if close.any():
        nearest = overlaps[close][:, real].argmax(1)
        match[close] = true_classes[nearest]
        goals[close] = encode(torch.from_numpy(true_boxes[nearest]), torch.from_numpy(boxes[close])).numpy()
    truth = np.where(is_true[rows], np.append(true_classes, NONE)[np.minimum(rows, len(true_classes))], NONE)
    return Regions(boxes, truth, of_class, match, goals)


def train(data: DataSet, out: Path, cache: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]) -> None:
    """Train, and write `out/checkpoint.pt`. A run that was stopped goes on with the features that it has saved.

    Args:
        cache: folder for the proposals and the features.
        tell: hears how far it is.

    Raises:
        CheckpointError: a file cannot be used or written, or `out` holds a checkpoint of another network or classes.
        DatasetError: a picture cannot be read.
        LibraryMissing: scikit-learn or scikit-image is not installed.
    """
    check_library()
    torch.set_num_threads(threads)
    about = {"network": "rcnn", "names": json.dumps(list(data.names)), "recipe": json.dumps(asdict(recipe))}
    check_replaced(out / CHECKPOINT, about)
    classes = len(data.names)
    model = RCNN(classes, EfficientNetLite0.pretrained()).eval()
    proposed = proposals.cached(data.train, PROPOSALS, cache, tell)
    each = [
        regions_of(file, enlarged(proposed[n], file.size), classes, recipe, np.random.default_rng([recipe.seed, n]))
        for n, file in enumerate(data.train)
    ]
    frozen = looks.quick(model)
    places = hashlib.sha256(b"".join(one.boxes.tobytes() for one in each)).hexdigest()
    features = looks.cached(
        data.train,
        (recipe.regions, FEATURES),
        lambda number, pixels: features_of(frozen, pixels, each[number].boxes),
        cache,
        f"rcnn {places}",
        tell,
    ).reshape(-1, FEATURES)
    regions = Regions(*(np.concatenate(part) for part in zip(*(vars(one).values() for one in each), strict=True)))
    mean, deviation = moments(features)
    scaled = Scaled(features, mean, deviation)
    fill(model.svm, svms(scaled, regions, recipe, tell), mean, deviation)
    fill(model.box, regressors(scaled, regions, recipe), mean, deviation)
    checkpoint.write(out / CHECKPOINT, {**about, "model": model.state_dict()})


def check_replaced(file: Path, about: dict[str, str]) -> None:
    """Raises CheckpointError: what the run will replace is of another network or of other classes, or is broken."""
    if not file.is_file():
        return
    saved = checkpoint.read(file)
    if (network := saved.get("network")) != about["network"]:
        raise CheckpointError(
            f"{file} is of another network{f', {network}' if network else ''}: it would be replaced; name another --out"
        )
    checkpoint.check_names(file, saved, about["names"])


def features_of(model: RCNN, pixels: NDArray[np.uint8], boxes: Boxes) -> Tensor:
    """The features (R, FEATURES) of regions (R, 4) of a picture (H, W, 3) BGR, which is placed as in use."""
    place = fit((pixels.shape[1], pixels.shape[0]), (IMGSZ, IMGSZ))
    canvas = np.empty((IMGSZ, IMGSZ, 3), np.uint8)
    small = cv2.resize(pixels, place.inner, interpolation=cv2.INTER_LINEAR)
    place.place(np.asarray(small, np.uint8), canvas, LiteTrunk.pad)
    rgb = torch.from_numpy(canvas[None, ..., ::-1].transpose(0, 3, 1, 2).copy())
    return model.features(rgb, torch.from_numpy(place.to_network(boxes))[None])[0]


@dataclass(frozen=True)
class Scaled:
    """Features of zero mean and unit variance, with a last column of ones: what linear models learn from.

    Attributes:
        features: (M, FEATURES) float16.
        mean, deviation: (FEATURES,) float32, of each.
    """

    features: NDArray[np.float16]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def rows(self, which: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Some rows, (n, FEATURES + 1)."""
        some = (self.features[which].astype(np.float32) - self.mean) / self.deviation
        return np.column_stack([some, np.ones(len(some), np.float32)])

    def products(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """All rows times (FEATURES + 1, C): (M, C)."""
        pieces = (slice(first, first + PIECE) for first in range(0, len(self.features), PIECE))
        return np.concatenate([self.rows(piece) @ weights for piece in pieces])


def moments(features: NDArray[np.float16]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each feature, over PIECE rows that are spread over all."""
    some = features[np.linspace(0, len(features) - 1, min(PIECE, len(features))).astype(np.int64)].astype(np.float32)
    return some.mean(0), np.maximum(some.std(0), 1e-3)


def svms(scaled: Scaled, regions: Regions, recipe: Recipe, tell: Callable[[str], None]) -> NDArray[np.float32]:
    """One linear SVM per class, with hard negative mining (section 2.3): (FEATURES + 1, C) float32.

    Positives are the true boxes of the class, negatives regions that overlap none of them by `recipe.far`. Each round
    adds the negatives that are on the wrong side of the margin.
    """
    count = regions.overlap.shape[1]
    rng = np.random.default_rng(recipe.seed)
    positive = [np.flatnonzero(regions.truth == c) for c in range(count)]
    negative = [np.flatnonzero(regions.overlap[:, c] < recipe.far) for c in range(count)]
    used = [np.sort(rng.permutation(rows)[: recipe.first]) for rows in negative]
    weights = np.zeros((FEATURES + 1, count), np.float32)
    weights[-1] = NEVER
    active = [c for c in range(count) if len(positive[c]) and len(negative[c])]
    for number in range(1, recipe.rounds + 1):
        for c in active:
            weights[:, c] = svm(scaled.rows(positive[c]), scaled.rows(used[c]), recipe)
        margins = scaled.products(weights)
        added = 0
        for c in tuple(active):
            fresh = np.setdiff1d(negative[c][margins[negative[c], c] > -1], used[c])
            if len(fresh) <= recipe.enough * len(used[c]):
                active.remove(c)
            fresh = fresh[np.argsort(-margins[fresh, c], kind="stable")[: recipe.hard]]
            used[c] = np.union1d(used[c], fresh)
            added += len(fresh)
        tell(f"round {number} of the SVMs: {added} hard negatives are new, {len(active)} of {count} classes go on")
        if not active:
            break
    return weights


def svm(positive: NDArray[np.float32], negative: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """The weights (n,) of a linear SVM, of rows (P, n) and (N, n) whose last column is 1."""
    from sklearn.svm import LinearSVC

    solver = LinearSVC(  # with so small a C, the dual problem is solved in half the time
        C=recipe.margin,
        class_weight={1: recipe.positive},
        fit_intercept=False,
        dual=True,
        max_iter=10_000,
        random_state=recipe.seed,
    )
    solver.fit(np.concatenate([positive, negative]), np.repeat([1, 0], [len(positive), len(negative)]))
    return np.asarray(solver.coef_[0], np.float32)


def regressors(scaled: Scaled, regions: Regions, recipe: Recipe) -> NDArray[np.float32]:
    """A ridge regression per class, of proposals near a true box (appendix C): (FEATURES + 1, C * 4) float32."""
    count = regions.overlap.shape[1]
    weights = np.zeros((FEATURES + 1, count, 4), np.float32)
    for c in range(count):
        rows = np.flatnonzero(regions.match == c)
        if len(rows):
            weights[:, c] = ridge(scaled.rows(rows), regions.goals[rows], recipe.ridge)
    return weights.reshape(FEATURES + 1, -1)


def ridge(x: NDArray[np.float32], y: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """The w (n, k) of least |y - x w|^2 + weight |w|^2, in closed form; w's last row, the bias, is not in |w|.

    Args: x (M, n), whose last column is 1; y (M, k).
    """
    penalty = np.full(x.shape[1], weight, np.float32)
    penalty[-1] = 0
    return np.asarray(np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y), np.float32)


def fill(
    layer: torch.nn.Linear,
    weights: NDArray[np.float32],
    mean: NDArray[np.float32],
    deviation: NDArray[np.float32],
) -> None:
    """Make a layer compute, of features as they are, what the weights (n + 1, k) do of those that are scaled."""
    kernel = weights[:-1] / deviation[:, None]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.T))
        layer.bias.copy_(torch.from_numpy(weights[-1] - mean @ kernel))


def check_library() -> None:
    """Raises LibraryMissing: what trains the SVMs is not installed."""
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise LibraryMissing(f"the SVMs of R-CNN need scikit-learn: {command('rcnn')}") from error
