"""Fast R-CNN: the network runs once for a picture, and classifies every proposed region on its feature map.

Girshick, "Fast R-CNN" (2015); the lecture's "Fast R-CNN": RoI pooling, fully connected layers after it, a softmax of K
classes and the background, boxes for each class, one loss for both. The proposals are Selective Search's
(`ops/selective_search.py`); Faster R-CNN (`models/faster_rcnn.py`) has them made by a network, and the rest from here.

    model = FastRCNN(LiteTrunk.pretrained(), classes=20)
    features = model.features(images)                    # (B, 3, H, W) RGB -> (B, D, H/16, W/16)
    losses = model.losses(features, proposals, truths)   # "roi class", "roi box"
    boxes, scores = model(images, proposals)             # proposals (B, K, 4) -> (B, N, 4) xyxy pixels, (B, N, C)

Letters: B pictures, K regions, C classes, G true boxes of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import apply, clip, encode, pick
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.roi_pool import roi_pool
from watchline.models.vgg import VGG16

Trunk = VGG16 | LiteTrunk
TRUNKS: dict[str, type[VGG16] | type[LiteTrunk]] = {"vgg16": VGG16, "efficientnet-lite0": LiteTrunk}
PATCH = 7  # bins along each side of a pooled region
PROPOSALS = 500  # of a picture; Selective Search finds some 450 in a photo
WEIGHTS = (10.0, 5.0)  # they give the paper's targets, with deviations of about 0.1 and 0.2, unit variance
MOST = 1000  # detections per picture; the pipeline's suppression reads as many
TIE = 1e-7  # subtracted from a score for each better region, so that equal scores have a fixed order
UNUSED = -1  # label of rows that are not in a mini-batch


@dataclass(frozen=True)
class Sampling:
    """How a picture's mini-batch of regions is drawn (section 2.3).

    Attributes:
        regions: their number.
        share: largest share of them that are objects.
        object: IoU from which a region counts as an object.
        least: IoU from which one with less counts as background: what overlaps an object a little teaches the most.
    """

    regions: int = 64
    share: float = 0.25
    object: float = 0.5
    least: float = 0.1


@dataclass(frozen=True)
class TrueBoxes:
    """The ground truth of one picture.

    Attributes:
        boxes: (G, 4) float32 xyxy in pixels of the input, with positive sides.
        classes: (G,) int64, 0..C - 1.
        ignore: (G,) bool: predictions that overlap such a box count neither as object nor as background.
    """

    boxes: Tensor
    classes: Tensor
    ignore: Tensor


class RegionNetwork(nn.Module):
    """What Fast and Faster R-CNN share: a trunk, and a class and boxes for each region of its map.

    Args:
        trunk: with its fully connected layers.
        classes: their number, without the background.
    """

    def __init__(self, trunk: Trunk, classes: int) -> None:
        super().__init__()
        self.classes, self.trunk = classes, trunk
        self.score = nn.Linear(trunk.width, 1 + classes)  # 0 is the background
        self.box = nn.Linear(trunk.width, classes * 4)
        for layer, deviation in ((self.score, 0.01), (self.box, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def features(self, images: Tensor) -> Tensor:
        """The map of the pictures. Args: images (B, 3, H, W) RGB in 0..255. Returns: (B, D, H/16, W/16)."""
        return self.trunk.features(self.trunk.normalise(images))

    def classify(self, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Classify regions (B, K, 4). Returns: logits (B, K, 1 + C), moves (B, K, C, 4)."""
        patches = roi_pool(features, regions, 1 / self.trunk.stride, PATCH)  # (B, K, D, 7, 7)
        vectors = self.trunk.classifier(patches.flatten(0, 1).flatten(1))  # (B * K, 4096)
        shape = (-1, int(regions.shape[1]))
        return self.score(vectors).unflatten(0, shape), self.box(vectors).view(*shape, self.classes, 4)


class FastRCNN(RegionNetwork):
    """The network of the paper. Args: trunk; classes, their number without the background; sampling."""

    def __init__(self, trunk: Trunk, classes: int = 20, sampling: Sampling = Sampling()) -> None:
        super().__init__(trunk, classes)
        self.sampling = sampling

    def forward(self, images: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """The best pairs of a region and a class, not suppressed.

        Args:
            images: (B, 3, H, W) RGB in 0..255.
            proposals: (B, K, 4) xyxy in pixels of the input.

        Returns:
            boxes (B, N, 4) and scores (B, N, C).
        """
        logits, moves = self.classify(self.features(images), proposals)
        return detections(logits, moves, proposals, picture_size(images))

    def losses(self, features: Tensor, proposals: Sequence[Tensor], truths: Sequence[TrueBoxes]) -> dict[str, Tensor]:
        """The multi-task loss (section 2.3).

        Args:
            features: of the pictures.
            proposals: (K, 4) of each picture; K may differ.
            truths: one per picture.

        Returns:
            "roi class", "roi box" and their sum "loss": scalars.
        """
        sample = [sample_regions(p, truth, self.sampling) for p, truth in zip(proposals, truths, strict=True)]
        regions, classes, goals = (torch.stack(part) for part in zip(*sample, strict=True))
        parts = roi_losses(*self.classify(features, regions), classes, goals)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def picture_size(images: Tensor) -> tuple[int, int]:
    """(width, height) of (B, 3, H, W) as integers, which become constants in a traced graph."""
    return int(images.shape[3]), int(images.shape[2])


def detections(
    logits: Tensor, moves: Tensor, regions: Tensor, size: tuple[int, int], found: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The best MOST pairs of a region and a class, each with the box that the class gives the region.

    Best first, up to TIE per region; of pairs with equal scores, the one of the better region comes first. Each class
    moves a region differently, so a row has one class, and its other scores are 0.

    Args:
        logits: (B, K, 1 + C). moves: (B, K, C, 4). regions: (B, K, 4). size: (width, height).
        found: (B, K) bool, False where a region is missing; None if none is.

    Returns:
        boxes (B, N, 4) xyxy and scores (B, N, C).
    """
    scores = logits.softmax(-1)[..., 1:]  # (B, K, C)
    scores = scores if found is None else scores * found.unsqueeze(-1)
    return best_pairs(clip(apply(moves, regions.unsqueeze(2), WEIGHTS), *size), scores)


def best_pairs(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The best MOST pairs of a region and a class, as `detections` gives them. Args: (B, K, C, 4) and (B, K, C)."""
    count, classes = int(scores.shape[1]), int(scores.shape[2])
    # Regions that pooling rounds to the same cells have equal scores, which each runtime would order differently.
    rank = torch.arange(count, device=scores.device, dtype=scores.dtype).unsqueeze(1)
    pair = (scores - rank * TIE).flatten(1).topk(min(MOST, count * classes)).indices
    best = scores.flatten(1).gather(1, pair)
    label = torch.arange(classes, device=pair.device).repeat(count)[pair]
    one_hot = label.unsqueeze(-1) == torch.arange(classes, device=pair.device)  # (B, N, C)
    return pick(boxes.flatten(1, 2), pair), best.unsqueeze(-1) * one_hot


def sample_regions(proposals: Tensor, truth: TrueBoxes, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor]:
    """A picture's mini-batch (section 2.3), of proposals and the true boxes.

    Args:
        proposals: (K, 4).

    Returns:
        regions (R, 4); their classes (R,), 0 for the background, UNUSED if there are too few regions; targets of the
        moves (R, 4) for objects, 0 for other regions.
    """
    candidates = torch.cat([proposals, truth.boxes[~truth.ignore]])
    overlaps, unsure = true_overlaps(candidates, truth)
    most, match = overlaps.max(1)
    objects = some(most >= sampling.object, int(sampling.regions * sampling.share))
    background = (most >= sampling.least) & (most < sampling.object) & (unsure < sampling.object)
    others = some(background, sampling.regions - len(objects))
    rows = torch.cat([objects, others])
    count = len(objects)
    regions, goals = candidates.new_zeros(2, sampling.regions, 4)
    classes = torch.full((sampling.regions,), UNUSED, device=candidates.device)
    regions[: len(rows)] = candidates[rows]
    classes[: len(rows)] = 0
    classes[:count] = truth.classes[match[objects]] + 1
    goals[:count] = encode(truth.boxes[match[objects]], candidates[objects], WEIGHTS)
    return regions, classes, goals


def roi_losses(logits: Tensor, moves: Tensor, classes: Tensor, goals: Tensor) -> dict[str, Tensor]:
    """Equation 1, with lambda = 1: log loss of the true class d, and smooth L1 of its box for objects.

    The lecture's E = - p_d log p^_d + lambda 1[d != 0] (|x - x^_d| + |y - y^_d| + |w - w^_d| + |h - h^_d|), the mean
    over a mini-batch.

    Args:
        logits: (B, R, 1 + C). moves: (B, R, C, 4). classes: (B, R). goals: (B, R, 4).
    """
    used, positive = classes != UNUSED, classes > 0
    count = used.sum().clamp(min=1)
    log_loss = F.cross_entropy(logits[used], classes[used], reduction="sum")
    mine = moves[positive][torch.arange(int(positive.sum()), device=moves.device), classes[positive] - 1]
    distance = F.smooth_l1_loss(mine, goals[positive], reduction="sum")
    return {"roi class": log_loss / count, "roi box": distance / count}


def true_overlaps(boxes: Tensor, truth: TrueBoxes, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """IoU of boxes with the ground truth.

    Args: boxes (N, 4); mask (N,) bool: where False, all IoUs with boxes that count are 0.
    Returns: (N, G + 1), 0 for ignored boxes and in the last column; (N,), the largest IoU with an ignored box.
    """
    size = torch.minimum(boxes[:, None, 2:], truth.boxes[None, :, 2:]) - torch.maximum(
        boxes[:, None, :2], truth.boxes[None, :, :2]
    )
    shared = size.clamp(min=0).prod(-1)  # (N, G)
    area, true_area = ((b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, truth.boxes))
    iou = F.pad(shared / (area[:, None] + true_area - shared), (0, 1))
    iou = iou if mask is None else iou * mask[:, None]
    ignored = F.pad(truth.ignore, (0, 1))
    return iou * ~ignored, (iou * ignored).max(1).values


def some(mask: Tensor, most: int) -> Tensor:
    """Indices where a mask (N,) is True; if there are more than `most`, a random choice of that many."""
    rows = mask.nonzero()[:, 0]
    return rows[torch.randperm(len(rows), device=rows.device)[:most]]
