"""Faster R-CNN: a network that proposes regions, and a network that classifies each of them, on one feature map.

Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks" (2015),
with VGG-16 as its trunk; the lecture's "Faster R-CNN": RPN, nine anchors, RoI pooling, four losses. The second
network is that of Girshick, "Fast R-CNN" (2015). Details that the papers do not give are as in their released code.

    model = FasterRCNN(VGG16.pretrained(state_dict, path))
    boxes, scores = model(images)                   # (B, 3, H, W) RGB -> (B, N, 4) xyxy pixels, (B, N, C)
    losses = model.losses(images, truths)           # "rpn class", "rpn box", "roi class", "roi box"

Shapes are static except for the batch, so the same code trains and exports: the number of proposals is fixed, and
missing proposals are zeros with a flag. Letters: B pictures, A anchors, K regions, C classes, G true boxes of a
picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import apply, clip, encode, pick
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.roi_pool import roi_pool
from watchline.models.suppress import suppress
from watchline.models.vgg import VGG16

Trunk = VGG16 | LiteTrunk
TRUNKS: dict[str, type[VGG16] | type[LiteTrunk]] = {"vgg16": VGG16, "efficientnet-lite0": LiteTrunk}
PATCH = 7  # bins along each side of a pooled region
SCALES = (128.0, 256.0, 512.0)  # square roots of the anchors' areas, in pixels
SIDE = 608  # side of the square input that SCALES are meant for; the paper's shorter side is 600
RATIOS = (0.5, 1.0, 2.0)  # height to width of anchors
WEIGHTS = (10.0, 5.0)  # they give Fast R-CNN's targets, with deviations of about 0.1 and 0.2, unit variance
MOST = 1000  # detections per picture; the pipeline's suppression reads as many
TIE = 1e-7  # subtracted from a score for each better region, so that equal scores have a fixed order
UNUSED = -1  # label of rows that are not in a mini-batch


@dataclass(frozen=True)
class RegionSettings:
    """The numbers of the two papers.

    Attributes:
        scales: square roots of the anchors' areas, in pixels of the input.
        ratios: height to width of the anchors.
        before: number of the best anchors that enter the suppression of proposals, at most 3840 (TensorRT's TopK).
        proposals: number of proposals after suppression, in training.
        tested: number of proposals after suppression, at test time.
        overlap: IoU above which a proposal suppresses another.
        anchors: number of anchors in a picture's mini-batch for the RPN, at most half of them positive.
        near, far: an anchor is positive from this IoU on, and negative below that one.
        balance: lambda, the weight of the RPN's box loss.
        regions: number of regions in a picture's mini-batch for the second network.
        share: largest share of them that are objects.
        object: IoU from which a region counts as an object.
    """

    scales: tuple[float, ...] = SCALES
    ratios: tuple[float, ...] = RATIOS
    before: int = 3840
    proposals: int = 2000
    tested: int = 300
    overlap: float = 0.7
    anchors: int = 256
    near: float = 0.7
    far: float = 0.3
    balance: float = 10.0
    regions: int = 128
    share: float = 0.25
    object: float = 0.5


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


class FasterRCNN(nn.Module):
    """Both networks. Args: trunk; classes, their number without the background; settings."""

    def __init__(self, trunk: Trunk, classes: int = 20, settings: RegionSettings = RegionSettings()) -> None:
        super().__init__()
        self.classes, self.settings = classes, settings
        self.register_buffer("scales", torch.tensor(settings.scales))  # so that a checkpoint contains its anchors
        self.trunk = trunk
        self.rpn = RPN(trunk.channels, len(anchor_shapes(settings.scales)))
        self.score = nn.Linear(trunk.width, 1 + classes)  # 0 is the background
        self.box = nn.Linear(trunk.width, classes * 4)
        for layer, deviation in ((self.score, 0.01), (self.box, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Args: images (B, 3, H, W) RGB in 0..255. Returns: boxes (B, N, 4) and scores (B, N, C), not suppressed."""
        size = picture_size(images)
        features = self.trunk.features(self.trunk.normalise(images))  # (B, D, H/16, W/16)
        objectness, deltas = self.rpn(features)
        anchors = place_anchors(self.settings.scales, size, self.trunk.stride).to(features.device)
        regions, found = propose(objectness, deltas, anchors, size, self.settings, self.settings.tested)
        logits, moves = self.classify(features, regions)
        return detections(logits, moves, regions, found, size)

    def classify(self, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Fast R-CNN: classify regions (B, K, 4). Returns: logits (B, K, 1 + C), moves (B, K, C, 4)."""
        patches = roi_pool(features, regions, 1 / self.trunk.stride, PATCH)  # (B, K, D, 7, 7)
        vectors = self.trunk.classifier(patches.flatten(0, 1).flatten(1))  # (B * K, 4096)
        shape = (-1, int(regions.shape[1]))
        return self.score(vectors).unflatten(0, shape), self.box(vectors).view(*shape, self.classes, 4)

    def losses(self, images: Tensor, truths: list[TrueBoxes]) -> dict[str, Tensor]:
        """The four losses, for approximate joint training (section 3.2): proposals count as constants.

        Args:
            images: (B, 3, H, W) RGB in 0..255. truths: one per picture.

        Returns:
            "rpn class", "rpn box", "roi class", "roi box" and their sum "loss": scalars.
        """
        size = picture_size(images)
        features = self.trunk.features(self.trunk.normalise(images))
        objectness, deltas = self.rpn(features)
        anchors = place_anchors(self.settings.scales, size, self.trunk.stride).to(features.device)
        with torch.no_grad():
            wanted = [label_anchors(anchors, truth, size, self.settings) for truth in truths]
            boxes, found = propose(objectness, deltas, anchors, size, self.settings, self.settings.proposals)
            sample = [
                sample_regions(b[f], truth, self.settings) for b, f, truth in zip(boxes, found, truths, strict=True)
            ]
        labels, goals = (torch.stack(part) for part in zip(*wanted, strict=True))
        parts = rpn_losses(objectness, deltas, labels, goals, features.shape[2] * features.shape[3], self.settings)
        regions, labels, goals = (torch.stack(part) for part in zip(*sample, strict=True))
        parts |= roi_losses(*self.classify(features, regions), labels, goals)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


class RPN(nn.Module):
    """A window of 3 x 3 slides over the map; at each position, nine anchors are scored and moved (section 3.1).

    An anchor has one logistic score, which the paper names as an alternative to its two-class softmax.
    """

    def __init__(self, channels: int, kinds: int) -> None:
        super().__init__()
        self.window = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, kinds, 1)
        self.deltas = nn.Conv2d(channels, kinds * 4, 1)
        for layer in (self.window, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Args: features (B, D, h, w). Returns: logits (B, A) and deltas (B, A, 4); A = h * w * 9 in that order."""
        x = self.window(features).relu()
        objectness = self.objectness(x).permute(0, 2, 3, 1)  # (B, h, w, 9)
        deltas = self.deltas(x).permute(0, 2, 3, 1)  # (B, h, w, 9 * 4)
        return objectness.flatten(1), deltas.reshape(deltas.shape[0], -1, 4)


def picture_size(images: Tensor) -> tuple[int, int]:
    """(width, height) of (B, 3, H, W) as integers, which become constants in a traced graph."""
    return int(images.shape[3]), int(images.shape[2])


def anchor_shapes(scales: tuple[float, ...], ratios: tuple[float, ...] = RATIOS) -> Tensor:
    """The anchors centred at (0, 0), scale by scale, each in all ratios: (9, 4) for three scales."""
    shapes = [(scale / ratio**0.5, scale * ratio**0.5) for scale in scales for ratio in ratios]
    half = torch.tensor(shapes) / 2
    return torch.cat([-half, half], dim=1)


def place_anchors(
    scales: tuple[float, ...], size: tuple[int, int], stride: int, ratios: tuple[float, ...] = RATIOS
) -> Tensor:
    """All anchors of a picture of (width, height), centred on the cells: (A, 4), by row, column and kind."""
    x, y = ((torch.arange(side // stride) + 0.5) * stride for side in size)
    centre = torch.stack([x.expand(len(y), -1), y.unsqueeze(1).expand(-1, len(x))], dim=-1)  # (h, w, 2)
    return (centre.repeat(1, 1, 2).unsqueeze(2) + anchor_shapes(scales, ratios)).view(-1, 4)


def propose(
    objectness: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int], settings: RegionSettings, count: int
) -> tuple[Tensor, Tensor]:
    """The best anchors, moved, clipped to the picture, and suppressed: class-agnostic regions, best first.

    Args:
        objectness: (B, A) logits. deltas: (B, A, 4). anchors: (A, 4). size: (width, height) of the picture.
        count: number of proposals, K.

    Returns:
        (B, K, 4) xyxy, and (B, K) bool. If fewer proposals are left, the rest are zeros and False. K is at most A.
    """
    before = min(settings.before, int(anchors.shape[0]))
    best = objectness.topk(before).indices  # (B, before), best first
    boxes = clip(apply(pick(deltas, best), anchors[best]), *size)
    kept = suppress(boxes, settings.overlap)
    priority = torch.arange(before, 0, -1, device=boxes.device, dtype=boxes.dtype)
    rank, chosen = (kept * priority).topk(min(count, before))  # the kept ones, in their order
    found = rank > 0
    return pick(boxes, chosen) * found.unsqueeze(-1), found


def detections(
    logits: Tensor, moves: Tensor, regions: Tensor, found: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The best MOST pairs of a region and a class, each with the box that the class gives the region.

    Best first, up to TIE per region; of pairs with equal scores, the one of the better region comes first. Each class
    moves a region differently, so a row has one class, and its other scores are 0.

    Args:
        logits: (B, K, 1 + C). moves: (B, K, C, 4). regions: (B, K, 4). found: (B, K). size: (width, height).

    Returns:
        boxes (B, N, 4) xyxy and scores (B, N, C).
    """
    count, classes = int(moves.shape[1]), int(moves.shape[2])
    scores = logits.softmax(-1)[..., 1:] * found.unsqueeze(-1)  # (B, K, C)
    boxes = clip(apply(moves, regions.unsqueeze(2), WEIGHTS), *size)  # (B, K, C, 4)
    # Regions that pooling rounds to the same cells have equal scores, which each runtime would order differently.
    rank = torch.arange(count, device=scores.device, dtype=scores.dtype).unsqueeze(1)
    pair = (scores - rank * TIE).flatten(1).topk(min(MOST, count * classes)).indices
    best = scores.flatten(1).gather(1, pair)
    label = torch.arange(classes, device=pair.device).repeat(count)[pair]
    one_hot = label.unsqueeze(-1) == torch.arange(classes, device=pair.device)  # (B, N, C)
    return pick(boxes.flatten(1, 2), pair), best.unsqueeze(-1) * one_hot


def label_anchors(
    anchors: Tensor, truth: TrueBoxes, size: tuple[int, int], settings: RegionSettings
) -> tuple[Tensor, Tensor]:
    """The RPN's mini-batch for a picture (section 3.1.2).

    An anchor is positive if it overlaps a true box most, or by 0.7. It is negative if it overlaps all of them by less
    than 0.3. Anchors that extend beyond the picture are left out, except for shapes that fit nowhere, because these
    would never learn that they are wrong. Of 256 anchors drawn at random, at most half are positive.

    Returns:
        labels (A,) int64: 1, 0 or UNUSED; targets of the deltas (A, 4), 0 where the label is not 1.
    """
    width, height = size
    inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)  # (A,)
    kinds = inside.view(-1, len(settings.scales) * len(settings.ratios))
    inside = (kinds | ~kinds.any(0)).flatten()
    overlaps, unsure = _overlaps(anchors, truth, inside)  # (A, G + 1), (A,)
    most, match = overlaps.max(1)
    best_of_truth = overlaps.max(0).values
    near = (most >= settings.near) | ((overlaps == best_of_truth) & (overlaps > 0)).any(1)
    labels = torch.full((len(anchors),), UNUSED, device=anchors.device)
    positive = _some(near & inside, settings.anchors // 2)
    background = inside & ~near & (most < settings.far) & (unsure < settings.far)
    negative = _some(background, settings.anchors - len(positive))
    labels[positive], labels[negative] = 1, 0
    goals = torch.zeros_like(anchors)
    goals[positive] = encode(truth.boxes[match[positive]], anchors[positive])
    return labels, goals


def sample_regions(proposals: Tensor, truth: TrueBoxes, settings: RegionSettings) -> tuple[Tensor, Tensor, Tensor]:
    """The second network's mini-batch for a picture (Fast R-CNN, section 2.3), of proposals and the true boxes.

    Args:
        proposals: (K, 4).

    Returns:
        regions (R, 4); their classes (R,), 0 for the background, UNUSED if there are too few regions; targets of the
        moves (R, 4) for objects, 0 for other regions.
    """
    candidates = torch.cat([proposals, truth.boxes[~truth.ignore]])
    overlaps, unsure = _overlaps(candidates, truth)
    most, match = overlaps.max(1)
    objects = _some(most >= settings.object, int(settings.regions * settings.share))
    background = (most < settings.object) & (unsure < settings.object)
    others = _some(background, settings.regions - len(objects))
    rows = torch.cat([objects, others])
    count = len(objects)
    regions, goals = candidates.new_zeros(2, settings.regions, 4)
    classes = torch.full((settings.regions,), UNUSED, device=candidates.device)
    regions[: len(rows)] = candidates[rows]
    classes[: len(rows)] = 0
    classes[:count] = truth.classes[match[objects]] + 1
    goals[:count] = encode(truth.boxes[match[objects]], candidates[objects], WEIGHTS)
    return regions, classes, goals


def rpn_losses(
    objectness: Tensor, deltas: Tensor, labels: Tensor, goals: Tensor, positions: int, settings: RegionSettings
) -> dict[str, Tensor]:
    """Equation 1: log loss over the mini-batch, and smooth L1 of the positives over the number of anchor locations.

    Args:
        objectness: (B, A) logits. deltas: (B, A, 4). labels: (B, A). goals: (B, A, 4). positions: h * w.
    """
    used, positive = labels != UNUSED, labels == 1
    log_loss = F.binary_cross_entropy_with_logits(objectness[used], labels[used].to(objectness.dtype), reduction="sum")
    distance = F.smooth_l1_loss(deltas[positive], goals[positive], reduction="sum")
    return {
        "rpn class": log_loss / used.sum().clamp(min=1),
        "rpn box": settings.balance * distance / (len(labels) * positions),
    }


def roi_losses(logits: Tensor, moves: Tensor, classes: Tensor, goals: Tensor) -> dict[str, Tensor]:
    """Fast R-CNN, equation 1: log loss of the true class, and smooth L1 of its box for objects.

    Args:
        logits: (B, R, 1 + C). moves: (B, R, C, 4). classes: (B, R). goals: (B, R, 4).
    """
    used, positive = classes != UNUSED, classes > 0
    count = used.sum().clamp(min=1)
    log_loss = F.cross_entropy(logits[used], classes[used], reduction="sum")
    mine = moves[positive][torch.arange(int(positive.sum()), device=moves.device), classes[positive] - 1]
    distance = F.smooth_l1_loss(mine, goals[positive], reduction="sum")
    return {"roi class": log_loss / count, "roi box": distance / count}


def _overlaps(boxes: Tensor, truth: TrueBoxes, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
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


def _some(mask: Tensor, most: int) -> Tensor:
    """Indices where a mask (N,) is True; if there are more than `most`, a random choice of that many."""
    rows = mask.nonzero()[:, 0]
    return rows[torch.randperm(len(rows), device=rows.device)[:most]]
