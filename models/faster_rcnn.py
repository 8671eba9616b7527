"""Faster R-CNN: a network that proposes regions, and a network that classifies each of them, on one feature map.

Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks" (2015),
with VGG-16 as its trunk; the lecture's "Faster R-CNN": RPN, nine anchors, RoI pooling, four losses. The second
network is Fast R-CNN (`models/fast_rcnn.py`). Details that the papers do not give are as in their released code.

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
from watchline.models.fast_rcnn import (
    UNUSED,
    RegionNetwork,
    Sampling,
    TrueBoxes,
    Trunk,
    detections,
    picture_size,
    roi_losses,
    sample_regions,
    some,
    true_overlaps,
)
from watchline.models.suppress import suppress

SCALES = (128.0, 256.0, 512.0)  # square roots of the anchors' areas, in pixels
SIDE = 608  # side of the square input that SCALES are meant for; the paper's shorter side is 600
RATIOS = (0.5, 1.0, 2.0)  # height to width of anchors


@dataclass(frozen=True)
class RegionSettings(Sampling):
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
        regions, least: of Fast R-CNN's mini-batch; any region that is no object counts as background.
    """

    regions: int = 128
    least: float = 0.0
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


class FasterRCNN(RegionNetwork):
    """Both networks. Args: trunk; classes, their number without the background; settings."""

    def __init__(self, trunk: Trunk, classes: int = 20, settings: RegionSettings = RegionSettings()) -> None:
        super().__init__(trunk, classes)
        self.settings = settings
        self.register_buffer("scales", torch.tensor(settings.scales))  # so that a checkpoint contains its anchors
        self.rpn = RPN(trunk.channels, len(anchor_shapes(settings.scales)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Args: images (B, 3, H, W) RGB in 0..255. Returns: boxes (B, N, 4) and scores (B, N, C), not suppressed."""
        size = picture_size(images)
        features = self.features(images)
        objectness, deltas = self.rpn(features)
        anchors = place_anchors(self.settings.scales, size, self.trunk.stride).to(features.device)
        regions, found = propose(objectness, deltas, anchors, size, self.settings, self.settings.tested)
        logits, moves = self.classify(features, regions)
        return detections(logits, moves, regions, size, found)

    def losses(self, images: Tensor, truths: list[TrueBoxes]) -> dict[str, Tensor]:
        """The four losses, for approximate joint training (section 3.2): proposals count as constants.

        Args:
            images: (B, 3, H, W) RGB in 0..255. truths: one per picture.

        Returns:
            "rpn class", "rpn box", "roi class", "roi box" and their sum "loss": scalars.
        """
        size = picture_size(images)
        features = self.features(images)
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
    overlaps, unsure = true_overlaps(anchors, truth, inside)  # (A, G + 1), (A,)
    most, match = overlaps.max(1)
    best_of_truth = overlaps.max(0).values
    near = (most >= settings.near) | ((overlaps == best_of_truth) & (overlaps > 0)).any(1)
    labels = torch.full((len(anchors),), UNUSED, device=anchors.device)
    positive = some(near & inside, settings.anchors // 2)
    background = inside & ~near & (most < settings.far) & (unsure < settings.far)
    negative = some(background, settings.anchors - len(positive))
    labels[positive], labels[negative] = 1, 0
    goals = torch.zeros_like(anchors)
    goals[positive] = encode(truth.boxes[match[positive]], anchors[positive])
    return labels, goals


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
