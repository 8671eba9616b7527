"""Faster R-CNN on a feature pyramid, for inference with torchvision's weights.

Ren et al., "Faster R-CNN" (2015), on Lin et al., "Feature Pyramid Networks" (2017): a proposal network slides over
every level of the pyramid. RoI align reads each box from the level that fits its size. Two fully connected layers
classify the box and correct it, class by class.

    model = fasterrcnn_resnet50_fpn(classes=91)
    boxes, scores = model(x)  # x (B, 3, H, W) normalised; (B, 1000, 4) xyxy pixels, (B, 1000, 90)

All shapes except the batch are fixed. Where torchvision has lists of boxes, this network has the largest possible
number of rows, and empty rows have score 0. The final suppression, class by class, is not in the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from watchline.models.boxes import apply, clip_each, pick
from watchline.models.fpn import CHANNELS, PyramidBackbone
from watchline.models.mobilenet_v3 import CHANNELS as MOBILENET_CHANNELS
from watchline.models.mobilenet_v3 import TwoMaps
from watchline.models.resnet import CHANNELS as RESNET_CHANNELS
from watchline.models.resnet import ResNet
from watchline.models.roi import extend, roi_align
from watchline.models.suppress import suppress

RATIOS = (0.5, 1.0, 2.0)  # height to width of anchors
HIDDEN = 1024
ROI = 7  # bins along each side of the box head's input
BOX_WEIGHTS = (10.0, 5.0)  # of the second regressor's shifts and log sizes
BASE_SIZE, BASE_LEVEL = 224, 2  # a box of this side is read from this level of the pyramid (the FPN paper's equation 1)
LEAST_PROPOSAL, LEAST_BOX = 1e-3, 1e-2  # pixels; boxes with a shorter side do not count
DETECTIONS = 1000  # pairs of a box and a class in the output; the pipeline's suppression reads as many


@dataclass(frozen=True)
class ProposalSettings:
    """ProposalSettings of the proposal network.

    Attributes:
        sizes: sides of the anchors in pixels, for each level.
        strides: pixels per cell, for the levels that boxes are read from.
        proposals: largest number of proposals per level, and in all.
        least: proposals with a lower objectness are removed.
        overlap: of two proposals of a level with a higher IoU, the better one is kept.
    """

    sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    strides: tuple[int, ...] = (4, 8, 16, 32)
    proposals: int = 1000
    least: float = 0.0
    overlap: float = 0.7


MOBILE = ProposalSettings(sizes=((32, 64, 128, 256, 512),) * 3, strides=(32,), proposals=150, least=0.05)


def anchors(sizes: Sequence[int], rows: int, columns: int, width: int, height: int) -> Tensor:
    """The anchors of a level.

    Args:
        sizes: sides of the squares with the anchors' areas. rows, columns: of the map. width, height: of the input.

    Returns:
        (rows * columns * A, 4) xyxy in pixels, row by row, cell by cell, ratio by ratio, size by size.
    """
    ratio = torch.tensor(RATIOS).sqrt()[:, None]
    side = torch.tensor(sizes, dtype=torch.float32)
    half = torch.stack([(side / ratio).flatten(), (side * ratio).flatten()], dim=-1) / 2  # (A, 2)
    shape = torch.cat([-half, half], dim=-1).round()  # (A, 4), centred at the origin and rounded as in training
    y = torch.arange(rows) * (height // rows)  # the stride that the weights were trained with, also for odd sizes
    x = torch.arange(columns) * (width // columns)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    corner = torch.stack([grid_x, grid_y, grid_x, grid_y], dim=-1)  # (rows, columns, 4)
    return (corner[:, :, None] + shape).reshape(-1, 4)


class ProposalHead(nn.Module):
    """Slides over a map, and predicts for each anchor whether there is an object, and its exact box."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)))
        self.cls_logits = nn.Conv2d(CHANNELS, count, 1)
        self.bbox_pred = nn.Conv2d(CHANNELS, count * 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, 256, h, w). Returns: logits (B, h * w * A), deltas (B, h * w * A, 4)."""
        x = self.conv(x).relu()
        rows, columns = int(x.shape[2]), int(x.shape[3])
        logits = self.cls_logits(x).permute(0, 2, 3, 1)  # (B, h, w, A)
        deltas = self.bbox_pred(x).reshape(-1, self.count, 4, rows, columns).permute(0, 3, 4, 1, 2)  # (B, h, w, A, 4)
        every = rows * columns * self.count
        return logits.reshape(-1, every), deltas.reshape(-1, every, 4)


class ProposalNetwork(nn.Module):
    """The best boxes of each level, without duplicates."""

    def __init__(self, settings: ProposalSettings) -> None:
        super().__init__()
        self.settings = settings
        self.head = ProposalHead(len(settings.sizes[0]) * len(RATIOS))

    def forward(self, pyramid: Sequence[Tensor], width: int, height: int, extent: Tensor) -> tuple[Tensor, Tensor]:
        """Args: pyramid, maps (B, 256, h, w); width, height of the input; extent (B, 2) of the pictures in it.

        Returns: boxes (B, K, 4), found (B, K) bool. Best first. A row with `found` False is empty.
        """
        levels = [
            self._level(x, sizes, width, height, extent) for x, sizes in zip(pyramid, self.settings.sizes, strict=True)
        ]
        counts = torch.tensor([int(scores.shape[1]) for _, scores in levels])
        most = int(counts.max())
        boxes = torch.stack([extend(boxes, 1, most) for boxes, _ in levels], dim=1)  # (B, L, N, 4)
        scores = torch.stack([extend(scores, 1, most) for _, scores in levels], dim=1)  # (B, L, N)
        own = (torch.arange(most) < counts[:, None]).to(boxes.device)  # (L, N): not added by `extend`
        fit = own & at_least(boxes, LEAST_PROPOSAL) & (scores >= self.settings.least)
        boxes = boxes * fit.unsqueeze(-1)
        keep = suppress(boxes.reshape(-1, most, 4), self.settings.overlap).reshape(-1, len(levels), most)
        every = most * len(levels)
        ranked = torch.where(keep & fit, scores, -1.0).reshape(-1, every)
        best, index = ranked.topk(min(self.settings.proposals, every))
        return pick(boxes.reshape(-1, every, 4), index), best >= 0

    def _level(self, x: Tensor, sizes: Sequence[int], width: int, height: int, extent: Tensor) -> tuple[Tensor, Tensor]:
        """The best of one level, best first: boxes (B, n, 4) inside the picture, scores (B, n) in 0..1."""
        logits, deltas = self.head(x)
        grid = anchors(sizes, int(x.shape[2]), int(x.shape[3]), width, height).to(x)
        best, index = logits.topk(min(self.settings.proposals, len(grid)))
        return clip_each(apply(pick(deltas, index), grid[index]), extent), best.sigmoid()


class BoxHead(nn.Module):
    """Two fully connected layers over the features under a box."""

    def __init__(self) -> None:
        super().__init__()
        self.fc6 = nn.Linear(CHANNELS * ROI * ROI, HIDDEN)
        self.fc7 = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, K, 256, 7, 7). Returns: (B, K, 1024)."""
        y: Tensor = self.fc7(self.fc6(x.reshape(-1, int(x.shape[1]), CHANNELS * ROI * ROI)).relu())
        return y.relu()


class BoxPredictor(nn.Module):
    """The class of a box, and a correction of the box for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(HIDDEN, classes)
        self.bbox_pred = nn.Linear(HIDDEN, classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, K, 1024). Returns: logits (B, K, classes), deltas (B, K, classes, 4)."""
        logits = self.cls_score(x)
        return logits, self.bbox_pred(x).reshape(-1, *(int(n) for n in logits.shape[1:]), 4)


class RoIHeads(nn.Module):
    """The layers that process each proposal."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.box_head = BoxHead()
        self.box_predictor = BoxPredictor(classes)


@dataclass(frozen=True)
class Candidates:
    """D pairs of a box and a class, best first.

    Attributes:
        boxes: (B, D, 4) xyxy in pixels of the input.
        scores: (B, D) in 0..1; 0 in empty rows.
        labels: (B, D) int64, index into the reported classes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class FasterRCNNFPN(nn.Module):
    """Faster R-CNN on a feature pyramid.

    Args:
        backbone: returns a pyramid of maps, the finest first.
        classes: number of classes, including the background, which is class 0.
        settings: of the proposal network.
        reported: classes in the output; all except the background if None.
    """

    reported: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        settings: ProposalSettings = ProposalSettings(),
        reported: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = backbone
        self.rpn = ProposalNetwork(settings)
        self.roi_heads = RoIHeads(classes)
        self.register_buffer("reported", torch.tensor(reported or range(1, classes)), persistent=False)

    def forward(self, x: Tensor, extent: Tensor | None = None) -> tuple[Tensor, ...]:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 32; extent as `detect` has it.

        Returns:
            boxes (B, D, 4) xyxy in pixels; scores (B, D, C), in each row only that of the class that the box is for.
        """
        found = self.detect(self.backbone(x), x, extent)
        return found.boxes, self.one_hot(found)

    def detect(self, pyramid: Sequence[Tensor], x: Tensor, extent: Tensor | None = None) -> Candidates:
        """The best pairs of a box and a class, not yet suppressed.

        Args: extent (B, 2), width and height of the pictures at the top left of x, at whose edges boxes end; None for
            those of x.
        """
        height, width = int(x.shape[2]), int(x.shape[3])
        extent = x.new_tensor([[width, height]]) if extent is None else extent
        proposals, real = self.rpn(pyramid, width, height, extent)
        features = self.align(pyramid, proposals, ROI)  # (B, K, 256, 7, 7)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(features))
        scores = logits.softmax(-1)[..., self.reported] * real.unsqueeze(-1)  # (B, K, C)
        classes = len(self.reported)
        pairs = int(proposals.shape[1]) * classes
        best, index = scores.reshape(-1, pairs).topk(min(DETECTIONS, pairs))
        row = torch.div(index, classes, rounding_mode="trunc")
        mine = pick(deltas[:, :, self.reported].reshape(-1, pairs, 4), index)  # (B, D, 4)
        boxes = clip_each(apply(mine, pick(proposals, row), BOX_WEIGHTS), extent)
        return Candidates(boxes, best * at_least(boxes, LEAST_BOX), index - row * classes)

    def align(self, pyramid: Sequence[Tensor], boxes: Tensor, size: int) -> Tensor:
        """The features under each box (B, K, 4), from the level that fits its size: (B, K, 256, size, size)."""
        strides = self.settings.strides
        side = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).sqrt()  # (B, K)
        steps = [BASE_SIZE * 2.0 ** (level - BASE_LEVEL - 1e-6) for level in range(1, len(strides))]
        levels = sum(((side >= step).to(side) for step in steps), start=torch.zeros_like(side))
        return roi_align(pyramid[: len(strides)], boxes, [1 / s for s in strides], levels, size)

    def one_hot(self, found: Candidates) -> Tensor:
        """The scores as a column for each reported class: (B, D, C)."""
        classes = torch.arange(len(self.reported), device=found.labels.device)
        return (found.labels.unsqueeze(-1) == classes).to(found.scores) * found.scores.unsqueeze(-1)


def at_least(boxes: Tensor, side: float) -> Tensor:
    """Whether both sides of boxes (..., 4) are at least this long: (...) bool."""
    return (boxes[..., 2] - boxes[..., 0] >= side) & (boxes[..., 3] - boxes[..., 1] >= side)


def resnet50_fpn() -> PyramidBackbone:
    """ResNet-50 with a pyramid of five levels, strides 4 to 64."""
    return PyramidBackbone(ResNet(50), RESNET_CHANNELS)


def fasterrcnn_resnet50_fpn(classes: int, reported: Sequence[int] | None = None) -> FasterRCNNFPN:
    """torchvision's network of this name."""
    return FasterRCNNFPN(resnet50_fpn(), classes, reported=reported)


def fasterrcnn_mobilenet_v3_large_320_fpn(classes: int, reported: Sequence[int] | None = None) -> FasterRCNNFPN:
    """torchvision's network of this name: three levels of strides 32, 32 and 64, and few proposals."""
    return FasterRCNNFPN(PyramidBackbone(TwoMaps(), MOBILENET_CHANNELS), classes, MOBILE, reported)
