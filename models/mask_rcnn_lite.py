"""A small Mask R-CNN on EfficientNet-Lite0: proposals, boxes and masks, with its losses; it trains on a CPU.

He et al., "Mask R-CNN" (2017): beside Faster R-CNN's class and box, a third branch predicts for each region a binary
mask for each class. The classes do not compete for a pixel: a sigmoid, not a softmax, and only the mask of the true
class is trained. L = L_class + L_box + L_mask, and the proposal network's two. Regions are read by RoI align.

The proposals come from a map of stride 16, the regions are read from one of stride 8, because boxes are to be right to
some pixels: Lin et al., "Feature Pyramid Networks" (2017), with two levels.

    model = LiteMaskRCNN(classes=1)
    boxes, scores, masks = model(images)        # (B, 3, H, W) RGB -> (B, D, 4) xyxy pixels, (B, D, C), (B, D, 28, 28)
    losses = model.losses(images, truths, planes)

Shapes are static except for the batch. Letters: B pictures, K regions, D detections, C classes, G true objects.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import apply, clip, pick
from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise
from watchline.models.fast_rcnn import WEIGHTS, TrueBoxes, picture_size, roi_losses, sample_regions
from watchline.models.faster_rcnn import (
    RPN,
    RegionSettings,
    label_anchors,
    place_anchors,
    propose,
    rpn_losses,
)
from watchline.models.roi import roi_align
from watchline.models.suppress import suppress

OUT = 96  # channels of both maps
HIDDEN = 256  # outputs of the fully connected layers
MASK_CHANNELS, MASK_LAYERS = 64, 4
BOX_ROI, MASK_ROI = 7, 14  # bins along each side of a region's patch; the mask is twice as fine
FINE, COARSE = 8, 16  # strides of the map of the regions and of the map of the proposals
SIZE = (512, 448)  # width and height of the input that it is meant for, in pixels
MULTIPLE = 32  # sides of the input are multiples of this
LABELS = ("person",)  # of the network that `watchline train mask-rcnn` trains
EARLY = 3  # number of blocks after the stem that need no fine-tuning, because they detect edges and textures

PEOPLE = RegionSettings(
    scales=(48.0, 96.0, 176.0, 272.0),
    ratios=(1.2, 2.2, 3.4),
    before=400,
    proposals=160,
    tested=100,
    balance=10.0,
    regions=32,
)
"""For standing people of 40 to 460 pixels in height. A picture has few of them, so few proposals are enough."""


@dataclass(frozen=True)
class MaskSettings:
    """Settings of the network.

    Attributes:
        region: of the proposals and the regions.
        masks: largest number of detections, each with a mask.
        least: detections with a lower score are left out.
        overlap: of two detections of a class with a higher IoU, the better one is kept.
        objects: largest number of regions of a picture whose masks are trained.
    """

    region: RegionSettings = field(default_factory=lambda: PEOPLE)
    masks: int = 32
    least: float = 0.05
    overlap: float = 0.5
    objects: int = 8


class LiteMaskRCNN(nn.Module):
    """The network. Args: classes, their number without the background; settings; backbone."""

    def __init__(
        self, classes: int, settings: MaskSettings = MaskSettings(), backbone: EfficientNetLite0 | None = None
    ) -> None:
        super().__init__()
        self.classes, self.settings = classes, settings
        region = settings.region
        self.pyramid = Pyramid(backbone or EfficientNetLite0())
        self.rpn = RPN(OUT, len(region.scales) * len(region.ratios))
        self.head = nn.Sequential(
            nn.Linear(OUT * BOX_ROI * BOX_ROI, HIDDEN), nn.ReLU(True), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(True)
        )
        self.score = nn.Linear(HIDDEN, 1 + classes)  # 0 is the background
        self.box = nn.Linear(HIDDEN, classes * 4)
        self.mask = MaskBranch(classes)
        for layer, deviation in ((self.score, 0.01), (self.box, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: images (B, 3, H, W) RGB in 0..255; H and W multiples of 32.

        Returns:
            boxes (B, D, 4) xyxy in pixels, best first; scores (B, D, C), one class per row, 0 in empty rows;
            masks (B, D, 28, 28) in 0..1, of the row's class, stretched over the box.
        """
        return self.detect(normalise(images))

    def detect(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same. Args: x (B, 3, H, W) normalised."""
        look = self.look(x)
        boxes, scores, labels = self.thin(self.candidates(look, picture_size(x)), 4 * self.settings.masks)
        return boxes, self.one_hot(scores, labels), self.masks(look.fine, boxes, labels)

    def look(self, x: Tensor) -> "Look":
        """Proposals and what the second network says of them. Args: x (B, 3, H, W) normalised."""
        size, region = picture_size(x), self.settings.region
        fine, coarse = self.pyramid(x)
        objectness, deltas = self.rpn(coarse)
        proposals, found = propose(objectness, deltas, self.anchors(size), size, region, region.tested)
        return Look(fine, proposals, found, *self.classify(fine, proposals))

    def candidates(self, look: "Look", size: tuple[int, int]) -> "Candidates":
        """Every pair of a region and a class, in a picture of (width, height)."""
        count = int(look.regions.shape[1])
        scores = (look.logits.softmax(-1)[..., 1:] * look.found.unsqueeze(-1)).flatten(1)  # (B, K * C)
        boxes = clip(apply(look.moves, look.regions.unsqueeze(2), WEIGHTS), *size).flatten(1, 2)
        return Candidates(boxes, scores, torch.arange(self.classes, device=boxes.device).repeat(count))

    def thin(self, candidates: "Candidates", most: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best after suppression within each class. Args: most, the candidates in it.

        Returns: boxes (B, D, 4), zeros in empty rows; scores (B, D); labels (B, D) int64.
        """
        settings = self.settings
        best, pair = candidates.scores.topk(min(int(candidates.scores.shape[1]), most))
        boxes, labels = pick(candidates.boxes, pair), candidates.labels[pair]
        likely = best > settings.least
        keep = suppress(boxes * likely.unsqueeze(-1), settings.overlap, labels.to(boxes)) & likely
        scores, rows = torch.where(keep, best, 0.0).topk(min(settings.masks, int(best.shape[1])))
        return pick(boxes, rows) * (scores > 0).unsqueeze(-1), scores, labels.gather(1, rows)

    def one_hot(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores (B, D) of labels (B, D) as (B, D, C)."""
        return scores.unsqueeze(-1) * (labels.unsqueeze(-1) == torch.arange(self.classes, device=labels.device))

    def masks(self, fine: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Of boxes (B, D, 4) and their classes (B, D): (B, D, 28, 28) in 0..1."""
        masks: Tensor = self.mask(self.align(fine, boxes, MASK_ROI), labels).sigmoid()
        return masks

    def classify(self, fine: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """The second network. Args: regions (B, K, 4). Returns: logits (B, K, 1 + C), moves (B, K, C, 4)."""
        count = int(regions.shape[1])
        patches = self.align(fine, regions, BOX_ROI)  # (B, K, 96, 7, 7)
        vectors = self.head(patches.reshape(-1, count, OUT * BOX_ROI * BOX_ROI))
        return self.score(vectors), self.box(vectors).reshape(-1, count, self.classes, 4)

    def align(self, fine: Tensor, regions: Tensor, size: int) -> Tensor:
        """Read regions (B, K, 4) from the finer map: (B, K, 96, size, size). A cell's centre is that of its pixels."""
        levels = torch.zeros_like(regions[..., 0])
        return roi_align([fine], regions - FINE / 2, [1 / FINE], levels, size)

    def anchors(self, size: tuple[int, int]) -> Tensor:
        """Those of a picture of (width, height): (A, 4)."""
        region = self.settings.region
        return place_anchors(region.scales, size, COARSE, region.ratios).to(self.score.weight.device)

    def losses(self, images: Tensor, truths: list[TrueBoxes], planes: list[Tensor]) -> dict[str, Tensor]:
        """All five losses; proposals count as constants.

        Args:
            images: (B, 3, H, W) RGB in 0..255. truths: one per picture.
            planes: of each picture (G, H, W) bool, the pixels of its objects, in the order of the boxes. An object
                without pixels has no mask: its class and box are trained alone.

        Returns:
            "rpn class", "rpn box", "roi class", "roi box", "mask" and their sum "loss": scalars.
        """
        size, settings = picture_size(images), self.settings
        region = settings.region
        fine, coarse = self.pyramid(normalise(images))
        objectness, deltas = self.rpn(coarse)
        anchors = self.anchors(size)
        with torch.no_grad():
            wanted = [label_anchors(anchors, truth, size, region) for truth in truths]
            boxes, found = propose(objectness, deltas, anchors, size, region, region.proposals)
            sample = [sample_regions(b[f], truth, region) for b, f, truth in zip(boxes, found, truths, strict=True)]
        labels, goals = (torch.stack(part) for part in zip(*wanted, strict=True))
        parts = rpn_losses(objectness, deltas, labels, goals, coarse.shape[2] * coarse.shape[3], region)
        regions, classes, moves = (torch.stack(part) for part in zip(*sample, strict=True))
        parts |= roi_losses(*self.classify(fine, regions), classes, moves)
        parts["mask"] = self._mask_loss(fine, regions, classes, truths, planes)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _mask_loss(
        self, fine: Tensor, regions: Tensor, classes: Tensor, truths: list[TrueBoxes], planes: list[Tensor]
    ) -> Tensor:
        """Of the first objects, which come first in a sample. Args: regions (B, R, 4), classes (B, R)."""
        most = self.settings.objects
        regions, classes = regions[:, :most], classes[:, :most]
        with torch.no_grad():
            targets = [mask_targets(r, t, p) for r, t, p in zip(regions, truths, planes, strict=True)]
        goals, has_mask = (torch.stack(part) for part in zip(*targets, strict=True))
        used = (classes > 0) & has_mask
        logits = self.mask(self.align(fine, regions, MASK_ROI), (classes - 1).clamp(min=0))
        return mask_loss(logits, goals, used)


class Look(NamedTuple):
    """What the network sees in pictures of one size, before suppression.

    Attributes:
        fine: (B, 96, H/8, W/8), the map that regions are read from.
        regions: (B, K, 4) xyxy in pixels, the proposals; found: (B, K) bool, whether there is one.
        logits: (B, K, 1 + C), 0 is the background; moves: (B, K, C, 4).
    """

    fine: Tensor
    regions: Tensor
    found: Tensor
    logits: Tensor
    moves: Tensor


class Candidates(NamedTuple):
    """Attributes: boxes (B, P, 4) xyxy in pixels; scores (B, P); labels (P,) int64."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Pyramid(nn.Module):
    """Two maps of 96 channels, each the sum of what its stride and all coarser ones see."""

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.backbone = backbone
        shallow, fine, coarse = CHANNELS
        self.shallow, self.fine, self.coarse = (nn.Conv2d(n, OUT, 1) for n in (shallow, fine, coarse))
        self.context = _separable(OUT)
        self.smooth_fine, self.smooth_coarse = _separable(OUT), _separable(OUT)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, 3, H, W) normalised. Returns: (B, 96, H/8, W/8), (B, 96, H/16, W/16)."""
        shallow, fine, coarse = self.backbone(x)
        above = self.coarse(coarse)
        above = above + self.context(above)
        middle = self.fine(fine) + F.interpolate(above, scale_factor=2.0, mode="nearest")
        below = self.shallow(shallow) + F.interpolate(middle, scale_factor=2.0, mode="nearest")
        return below + self.smooth_fine(below), middle + self.smooth_coarse(middle)

    def early(self) -> list[nn.Module]:
        """The layers that fine-tuning does not change."""
        return [self.backbone.stem, *self.backbone.blocks[:EARLY]]


class MaskBranch(nn.Module):
    """A fully convolutional network over a region: a binary mask of 28 x 28 for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        sides = [OUT] + [MASK_CHANNELS] * MASK_LAYERS
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sides)]
        self.layers = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU(True))))
        self.finer = nn.ConvTranspose2d(MASK_CHANNELS, MASK_CHANNELS, 2, 2)
        self.logits = nn.Conv2d(MASK_CHANNELS, classes, 1)
        for layer in (*layers, self.finer):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Args: patches (B, K, 96, 14, 14); labels (B, K) int64, a class per region.

        Returns: (B, K, 28, 28), the logits of the mask of the region's class. The other classes' masks are not
        computed: the last layer is 1 x 1, a product with one row per class.
        """
        count, side = int(labels.shape[1]), 2 * MASK_ROI
        x = self.finer(self.layers(patches.reshape(-1, OUT, MASK_ROI, MASK_ROI))).relu()
        row = self.logits.weight.reshape(-1, MASK_CHANNELS)[labels]  # (B, K, 64)
        assert self.logits.bias is not None, "it has one"
        logits = row.unsqueeze(2) @ x.reshape(-1, count, MASK_CHANNELS, side * side)  # (B, K, 1, 28 * 28)
        masks: Tensor = (logits + self.logits.bias[labels][..., None, None]).reshape(-1, count, side, side)
        return masks


def mask_targets(regions: Tensor, truth: TrueBoxes, planes: Tensor) -> tuple[Tensor, Tensor]:
    """What a region's mask should be: the pixels of the true object that it overlaps most, in 28 x 28 bins.

    Args:
        regions: (R, 4). planes: (G, H, W) bool.

    Returns:
        (R, 28, 28) in 0..1, the share of each bin that belongs to the object; (R,) bool, whether the object has pixels.
    """
    side = 2 * MASK_ROI
    counted = torch.nonzero(~truth.ignore)[:, 0]
    if not len(counted):
        return regions.new_zeros(len(regions), side, side), torch.zeros(len(regions), dtype=torch.bool)
    boxes = truth.boxes[counted]
    common = torch.minimum(regions[:, None, 2:], boxes[:, 2:]) - torch.maximum(regions[:, None, :2], boxes[:, :2])
    shared = common.clamp(min=0).prod(-1)  # (R, G)
    areas = (regions[:, 2:] - regions[:, :2]).prod(-1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    match = counted[(shared / (areas - shared)).argmax(1)]
    mine = planes[match].unsqueeze(1).to(regions.dtype)  # (R, 1, H, W)
    levels = torch.zeros_like(regions[:, None, 0])
    goals = roi_align([mine], regions[:, None] - 0.5, [1.0], levels, side)[:, 0, 0]  # pixel centres at 0.5
    return goals, planes.flatten(1).any(1)[match]


def mask_loss(logits: Tensor, goals: Tensor, used: Tensor) -> Tensor:
    """The mean binary cross-entropy over the pixels of the masks that are used; 0 if there are none.

    Args: logits, goals (B, R, 28, 28); used (B, R) bool.
    """
    if not used.any():
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits[used], goals[used])


def _separable(channels: int) -> nn.Sequential:
    """A wide depthwise convolution and a mixing one."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.ReLU(True), nn.Conv2d(channels, channels, 1)
    )
