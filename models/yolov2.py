"""YOLOv2: a fully convolutional detector that reads its boxes off one grid.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (2017), section 2; the lecture's "YOLO v2": dimension
priors, location prediction, passthrough, multi-scale. Two things differ from the paper's Darknet-19: the backbone is
EfficientNet-Lite0, and the grid has stride 16, to which finer features come by the paper's passthrough
(space to depth) and coarser ones by doubling.

    model = YOLOv2(priors)
    raw = model(normalise(images))                  # (B, K * (5 + C), H/16, W/16)
    boxes, scores = decode(raw, model.priors)       # (B, N, 4) xyxy pixels, (B, N, C)
    loss = region_loss(raw, model.priors, targets)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, conv_bn

STRIDE = 16
HIDDEN = 192
MAX_LOG_SIZE = 4.0  # exp() of a predicted log size stays finite from the first step on
REACH = 2.0  # a centre may lie half a cell outside its own cell, so that two or three cells can answer for an object


def normalise(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in 0..255 -> float about -1..1, as the backbone was trained."""
    return (images.float() - 127.0) / 128.0


class YOLOv2(nn.Module):
    """Attributes: priors (K, 2), width and height in cells of the grid; classes, how many."""

    priors: Tensor

    def __init__(self, priors: Tensor, classes: int = 20, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("priors", priors.float())
        self.backbone = backbone or EfficientNetLite0()
        shallow, fine, coarse = CHANNELS
        self.passthrough = nn.Sequential(*conv_bn(shallow, 24), nn.ReLU6(True), nn.PixelUnshuffle(2))
        self.fine = nn.Sequential(*conv_bn(fine, 128), nn.ReLU6(True))
        self.coarse = nn.Sequential(*conv_bn(coarse, 160), nn.ReLU6(True), *_separable(160, 160))
        self.head = nn.Sequential(*_separable(96 + 128 + 160, HIDDEN), *_separable(HIDDEN, HIDDEN))
        self.region = nn.Conv2d(HIDDEN, len(priors) * (5 + classes), 1)
        nn.init.normal_(self.region.weight, std=0.01)
        bias = torch.zeros(len(priors), 5 + classes)
        bias[:, 4] = -math.log(99.0)  # nearly every cell is background: start there
        self.region.bias = nn.Parameter(bias.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 32. Returns: (B, K * (5 + C), H/16, W/16)."""
        shallow, fine, coarse = self.backbone(x)
        features = [
            self.passthrough(shallow),  # (B, 96, H/16, W/16)
            self.fine(fine),  # (B, 128, H/16, W/16)
            F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest"),  # (B, 160, H/16, W/16)
        ]
        raw: Tensor = self.region(self.head(torch.cat(features, dim=1)))
        return raw


def _separable(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        *conv_bn(inputs, inputs, 5, groups=inputs),
        nn.ReLU6(True),
        *conv_bn(inputs, outputs),
        nn.ReLU6(True),
    ]


def split(raw: Tensor, priors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The region layer's numbers as boxes and logits.

    "Direct location prediction": b_x = sigma(t_x) + c_x and b_w = p_w exp(t_w), in cells; here sigma is stretched by
    REACH about its middle.

    Args:
        raw: (B, K * (5 + C), h, w).
        priors: (K, 2) in cells.

    Returns:
        boxes (B, N, 4) xyxy in cells, N = K * h * w in the order prior, row, column; objectness logits (B, N);
        class logits (B, N, C).
    """
    batch, _, h, w = raw.shape
    k = len(priors)
    t = raw.view(batch, k, -1, h, w).permute(0, 1, 3, 4, 2)  # (B, K, h, w, 5 + C)
    y, x = torch.meshgrid(torch.arange(h, device=raw.device), torch.arange(w, device=raw.device), indexing="ij")
    cell = torch.stack([x, y], dim=-1).to(t.dtype)  # (h, w, 2)
    centre = t[..., 0:2].sigmoid() * REACH - (REACH - 1) / 2 + cell
    half = t[..., 2:4].clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE).exp() * priors.view(1, k, 1, 1, 2) / 2
    boxes = torch.cat([centre - half, centre + half], dim=-1)
    return boxes.reshape(batch, -1, 4), t[..., 4].reshape(batch, -1), t[..., 5:].reshape(batch, k * h * w, -1)


def decode(raw: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (B, N, 4) xyxy in pixels of the input, and scores (B, N, C) = Pr(object) * IoU * Pr(class | object)."""
    boxes, objectness, classes = split(raw, priors)
    return boxes * STRIDE, objectness.sigmoid().unsqueeze(-1) * classes.softmax(-1)


@dataclass(frozen=True)
class Targets:
    """The true boxes of a batch in one table.

    Attributes:
        image: (G,) int64, which picture of the batch.
        boxes: (G, 4) float32 xyxy in pixels of the input.
        classes: (G,) int64.
        ignore: (G,) bool: what overlaps such a box counts neither as object nor as background.
    """

    image: Tensor
    boxes: Tensor
    classes: Tensor
    ignore: Tensor


@dataclass(frozen=True)
class Weights:
    """How the parts of the region loss are balanced."""

    coord: float = 2.5
    objectness: float = 1.0
    classes: float = 0.7


def region_loss(raw: Tensor, priors: Tensor, targets: Targets, weights: Weights = Weights()) -> dict[str, Tensor]:
    """The three parts of YOLOv2's loss, and their weighted sum.

    A prior is responsible for an object when their IoU is the best or above 0.5, in the object's cell and in the
    nearer neighbours (the paper: the best prior and the object's cell only). Its box is drawn to the object (complete
    IoU, Zheng et al. 2020, in place of squared errors), its objectness to the IoU it has reached, its classes to the
    label (softmax cross-entropy). Every other prediction is drawn to objectness 0, unless it overlaps an object by
    IoU > 0.6 (Darknet's threshold) or an ignored one by 0.4.

    Args:
        raw: (B, K * (5 + C), h, w), what the network gave.
        priors: (K, 2) in cells.
        targets: the true boxes.
        weights: of the parts.

    Returns:
        "loss", "coord", "objectness" and "class": scalars, sums over the batch divided by the count of positives.
    """
    height, width = raw.shape[-2:]
    boxes, objectness, logits = split(raw, priors)
    with torch.no_grad():
        found = assign(targets, priors, height, width)
        wanted, counts = _objectness_mask(boxes.detach(), targets)
    image, index, truth = found
    positives = max(len(image), 1)
    mine = boxes[image, index]
    overlap = complete_iou(mine, targets.boxes[truth] / STRIDE)
    coord = (1 - overlap).sum() / positives
    classes = F.cross_entropy(logits[image, index], targets.classes[truth], reduction="sum") / positives
    wanted[image, index] = overlap.detach().clamp(0, 1)
    counts[image, index] = True
    bce = F.binary_cross_entropy_with_logits(objectness, wanted, reduction="none")
    presence = bce[counts].sum() / positives
    total = weights.coord * coord + weights.objectness * presence + weights.classes * classes
    return {"loss": total, "coord": coord, "objectness": presence, "class": classes}


def assign(targets: Targets, priors: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which predictions answer for which objects, on a grid of height x width cells.

    Returns:
        three (P,) int64 tables: picture of the batch, index of the prediction (as in `split`), row of `targets`.
    """
    rows = (~targets.ignore).nonzero()[:, 0]
    boxes = targets.boxes[rows] / STRIDE
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    shared = torch.minimum(size[:, None], priors[None]).prod(-1)
    ratio = shared / (size.prod(-1)[:, None] + priors.prod(-1)[None] - shared)  # (G, K)
    responsible = (ratio > 0.5) | (ratio == ratio.max(dim=1, keepdim=True).values)
    row, prior = responsible.nonzero(as_tuple=True)
    cell = centre.floor()
    side = torch.where(centre - cell < 0.5, -1.0, 1.0)  # towards the nearer neighbour, in x and in y
    still = torch.zeros_like(side)
    offsets = torch.stack([still, side * torch.tensor([1.0, 0.0]), side * torch.tensor([0.0, 1.0])])  # (3, G, 2)
    cells = (cell + offsets)[:, row]  # (3, P, 2)
    inside = (cells >= 0).all(-1) & (cells[..., 0] < width) & (cells[..., 1] < height)
    which = inside.nonzero(as_tuple=True)[1]
    x, y = cells[inside].long().unbind(-1)
    return targets.image[rows][row[which]], (prior[which] * height + y) * width + x, rows[row[which]]


def _objectness_mask(boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Objectness wanted where no object is (zeros), and which predictions count as background: both (B, N)."""
    counts = torch.ones(boxes.shape[:2], dtype=torch.bool)
    for b in range(len(boxes)):
        mine = targets.image == b
        truth, ignored = targets.boxes[mine] / STRIDE, targets.ignore[mine]
        if not len(truth):
            continue
        shared, area, true_area = _intersection(boxes[b], truth)
        overlap = shared / (area[:, None] + true_area[None] - shared).clamp(min=1e-6)
        counts[b] = ~(overlap > torch.where(ignored, 0.4, 0.6)).any(dim=1)
    return torch.zeros(boxes.shape[:2]), counts


def _intersection(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp(min=0)
    return size.prod(-1), (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of boxes pair by pair: IoU less the distance of the centres and the difference of the shapes.

    Zheng et al., "Distance-IoU Loss" (2020), equations 7 to 11. Args: a, b (P, 4) xyxy. Returns: (P,), at most 1.
    """
    size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    iou = shared / (size_a.prod(-1) + size_b.prod(-1) - shared + 1e-7)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    distance = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(-1) / (hull.square().sum(-1) + 1e-7)
    turn = torch.atan2(size_b[:, 0], size_b[:, 1]) - torch.atan2(size_a[:, 0], size_a[:, 1])
    shape = turn.square() * 4 / math.pi**2
    with torch.no_grad():
        alpha = shape / (1 - iou + shape + 1e-7)
    return iou - distance - alpha * shape
