"""YOLOv2: a fully convolutional detector that predicts its boxes on one grid.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (2017), section 2; the lecture's "YOLO v2": dimension
priors, location prediction, passthrough, multi-scale. Two things differ from the paper's Darknet-19. The backbone is
EfficientNet-Lite0. The grid has stride 16: finer features are added by the paper's passthrough (space to depth),
coarser ones by enlarging them.

    model = YOLOv2(priors)
    raw = model(normalise(images))                  # (B, K * (5 + C), H/16, W/16)
    boxes, scores = decode(raw, model.priors)       # (B, N, 4) xyxy pixels, (B, N, C)
    loss = region_loss(raw, model.priors, targets)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import overlaps
from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, Widths, conv_bn, widths_of
from watchline.models.single_shot import SingleShot, Targets

STRIDE = 16
HIDDEN = 192  # of the complete network


@dataclass(frozen=True)
class Shape:
    """A smaller network than the complete one.

    Attributes:
        widths: of the backbone's blocks, stage by stage.
        last: channels of the backbone's coarsest map.
        hidden: channels inside the head.
    """

    widths: Widths
    last: int = 160
    hidden: int = HIDDEN

    def backbone(self) -> EfficientNetLite0:
        """An untrained one."""
        return EfficientNetLite0(self.widths, self.last)


SHAPES = {
    "slim": Shape(((16,), (48,), (96, 144), (160, 240), (288, 336), (480, 576), (640,)), hidden=160),
    "trim": Shape(((16,), (48,), (96, 144), (240, 384, 384), (480, 480, 576), (576, 768, 768, 768), (768,))),
}
"""On a CPU, `slim` takes as long as YOLOX-nano. In INT8 with VNNI, `trim` takes 0.9 of YOLOX-nano's time in FP32."""

MAX_LOG_SIZE = 4.0  # limit of a predicted log size, so that exp() stays finite from the first step on
MOST, SHARPNESS = 10, 3.0  # parameters of `assign`
REACH = 2.0  # a predicted centre may be half a cell outside its cell, so four cells can predict an object


class YOLOv2(SingleShot):
    """The network. Attributes: priors (K, 2), width and height in cells of the grid; classes, their number."""

    priors: Tensor

    def __init__(
        self, priors: Tensor, classes: int = 20, backbone: EfficientNetLite0 | None = None, hidden: int = HIDDEN
    ) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("priors", priors.float())
        self.backbone = backbone or EfficientNetLite0()
        shallow, fine, _ = CHANNELS
        coarse = self.backbone.last
        self.passthrough = nn.Sequential(*conv_bn(shallow, 24), nn.ReLU6(True), nn.PixelUnshuffle(2))
        self.fine = nn.Sequential(*conv_bn(fine, 128), nn.ReLU6(True))
        self.coarse = nn.Sequential(*conv_bn(coarse, 160), nn.ReLU6(True), *_separable(160, 160))
        self.head = nn.Sequential(*_separable(96 + 128 + 160, hidden), *_separable(hidden, hidden))
        self.region = region_layer(hidden, len(priors), classes)

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

    def decoded(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return decode(raw, self.priors)

    def losses(self, raw: Tensor, targets: Targets) -> dict[str, Tensor]:
        return region_loss(raw, self.priors, targets)


def region_layer(hidden: int, priors: int, classes: int) -> nn.Conv2d:
    """An untrained region layer: for each prior a box, an objectness and the scores of the classes."""
    region = nn.Conv2d(hidden, priors * (5 + classes), 1)
    nn.init.normal_(region.weight, std=0.01)
    bias = torch.zeros(priors, 5 + classes)
    bias[:, 4] = -math.log(99.0)  # start with the prediction that nearly every cell is background
    region.bias = nn.Parameter(bias.flatten())
    return region


def like(state: Mapping[str, Tensor]) -> YOLOv2:
    """An untrained network with the shapes of these weights.

    Raises:
        KeyError, IndexError, ValueError: the weights are not of this network.
    """
    priors, region = state["priors"], state["region.weight"]
    prefix = "backbone."
    backbone = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    classes = len(region) // len(priors) - 5
    return YOLOv2(priors, classes, EfficientNetLite0(*widths_of(backbone)), region.shape[1])


def _separable(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        *conv_bn(inputs, inputs, 5, groups=inputs),
        nn.ReLU6(True),
        *conv_bn(inputs, outputs),
        nn.ReLU6(True),
    ]


def split(raw: Tensor, priors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert the region layer's output to boxes and logits.

    "Direct location prediction": b_x = sigma(t_x) + c_x and b_w = p_w exp(t_w), in cells. Here sigma is stretched by
    REACH around its middle.

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
class Weights:
    """The weights of the parts of the region loss."""

    coord: float = 2.5
    objectness: float = 1.0
    classes: float = 0.7


def region_loss(raw: Tensor, priors: Tensor, targets: Targets, weights: Weights = Weights()) -> dict[str, Tensor]:
    """The three parts of YOLOv2's loss, and their weighted sum.

    The predictions that can reach an object's centre compete for it (`assign`; the paper: the best prior in the
    object's cell). The winners' boxes are trained towards the object (complete IoU, Zheng et al. 2020, instead of
    squared errors), their objectness towards their IoU, their classes towards the label (softmax cross-entropy). An
    uncertain label counts less, and its target of the objectness is lower. Every other prediction is trained towards
    objectness 0, except those that may be right (`background`).

    Args:
        raw: (B, K * (5 + C), h, w), the network's output.
        priors: (K, 2) in cells.
        targets: the true boxes.
        weights: of the parts.

    Returns:
        "loss", "coord", "objectness" and "class": scalars, sums over the batch divided by the number of positives.
    """
    boxes, objectness, logits = split(raw, priors)
    with torch.no_grad():
        image, index, truth = assign(boxes, objectness, logits, targets, *raw.shape[-2:])
        counts = background(boxes, logits, targets)
    sure = targets.sure[truth]
    positives = sure.sum().clamp(min=1)
    mine = boxes[image, index]
    overlap = complete_iou(mine, targets.boxes[truth] / STRIDE)
    coord = ((1 - overlap) * sure).sum() / positives
    classes = (F.cross_entropy(logits[image, index], targets.classes[truth], reduction="none") * sure).sum() / positives
    wanted = torch.zeros_like(objectness)
    wanted[image, index] = overlap.detach().clamp(0, 1) * sure
    counts[image, index] = True
    bce = F.binary_cross_entropy_with_logits(objectness, wanted, reduction="none")
    presence = (bce * counts).sum() / positives
    total = weights.coord * coord + weights.objectness * presence + weights.classes * classes
    return {"loss": total, "coord": coord, "objectness": presence, "class": classes}


def assign(
    boxes: Tensor, objectness: Tensor, logits: Tensor, targets: Targets, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign predictions to objects: those that currently predict an object best.

    All priors of the four cells that can reach an object's centre compete for it. The number of winners is the sum of
    the best MOST overlaps, at least one. The winners are the best by Pr(class) * IoU^SHARPNESS (dynamic k and
    alignment: Ge et al., "YOLOX", 2021; Feng et al., "TOOD", 2021). A prediction that wins two objects is assigned to
    its better match.

    Args:
        boxes, objectness, logits: outputs of `split`, for a grid of height x width cells.
        targets: the true boxes.

    Returns:
        three (P,) int64 tables: picture of the batch, index of the prediction, row of `targets`.
    """
    rows = (~targets.ignore).nonzero()[:, 0]
    truth, image = targets.boxes[rows] / STRIDE, targets.image[rows, None]
    index, inside = candidates((truth[:, :2] + truth[:, 2:]) / 2, boxes.shape[1] // (height * width), height, width)
    overlap = overlaps(boxes[image, index], truth[:, None]) * inside  # (G, A)
    label = targets.classes[rows, None, None].expand(*index.shape, 1)
    likely = objectness[image, index].sigmoid() * logits[image, index].softmax(-1).gather(-1, label)[..., 0]
    match = (likely + 1e-6) * (overlap + 1e-3) ** SHARPNESS * inside
    wins = overlap.topk(min(MOST, overlap.shape[1]), dim=1).values.sum(1).round().clamp(min=1)  # (G,)
    rank = match.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    chosen = (rank < wins[:, None]) & inside
    flat = image * boxes.shape[1] + index
    best = torch.zeros(boxes.shape[:2], dtype=match.dtype, device=match.device).flatten()
    best.scatter_reduce_(0, flat[chosen], match[chosen], "amax")
    row, which = (chosen & (match == best[flat])).nonzero(as_tuple=True)
    return image[row, 0], index[row, which], rows[row]


def candidates(centre: Tensor, priors: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The predictions whose cell can reach a centre: it is at most REACH / 2 cells from the middle of the cell.

    Args:
        centre: (G, 2) in cells.

    Returns:
        (G, A) int64, indices of predictions as in `split`, and (G, A) bool, whether they are inside the grid. A is four
        cells times the priors.
    """
    first = (centre - 0.5).floor()
    steps = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=centre.device)
    x, y = (first[:, None] + steps).long().unbind(-1)  # (G, 4)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    cell = torch.where(inside, y * width + x, 0)
    prior = torch.arange(priors, device=centre.device) * height * width
    return (cell[..., None] + prior).flatten(1), inside[..., None].expand(*inside.shape, priors).flatten(1)


def background(boxes: Tensor, logits: Tensor, targets: Targets) -> Tensor:
    """The predictions that count as background if they are not assigned to an object, (B, N) bool.

    Predictions that overlap an object by IoU > 0.6 (Darknet's threshold), or an ignored one by 0.4, do not. Neither do
    predictions of an open class whose centre is in an open region.
    """
    overlap = overlaps(boxes[targets.image], targets.boxes[:, None] / STRIDE)  # (G, N)
    spared = overlap > torch.where(targets.ignore, 0.4, 0.6)[:, None]
    hits = torch.zeros(boxes.shape[:2], dtype=torch.float32, device=boxes.device)
    hits.index_add_(0, targets.image, spared.float())
    theirs = boxes[targets.open_image]  # (R, N, 4)
    centre, region = (theirs[..., :2] + theirs[..., 2:]) / 2, targets.open_boxes[:, None] / STRIDE
    inside = ((centre > region[..., :2]) & (centre < region[..., 2:])).all(-1)  # (R, N)
    unknown = targets.open_classes.gather(1, logits[targets.open_image].argmax(-1))  # (R, N)
    hits.index_add_(0, targets.open_image, (inside & unknown).float())
    return hits == 0


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of pairs of boxes: IoU minus the distance of the centres and the difference of the aspect ratios.

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
