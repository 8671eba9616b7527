"""SSD on the backbone that this project's models share: SSD300, and SSD512 with one map more.

Liu et al., "SSD: Single Shot MultiBox Detector" (2016). The default boxes are the paper's (`ssd.py`, which has its
VGG-16 for torchvision's weights); maps of strides 8, 16 and 32 come from the backbone, and coarser ones from more
convolutions. Section 2.2's training: default boxes that overlap an object predict it, and of the others only those
that look most like objects count, three for each (hard negative mining).

    model = SSDLite0(classes=20, size=300)
    raw = model(normalise(images))     # (B, 3, 300, 300) -> (B, 8732, 4 + 1 + 20)
    boxes, scores = model.decoded(raw)  # (B, 8732, 4) xyxy pixels, (B, 8732, 20)
    parts = ssd_loss(raw, model.grid, targets)
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import apply, clip, encode, overlaps
from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, conv_bn
from watchline.models.single_shot import SingleShot, Targets
from watchline.models.ssd import BOX_WEIGHTS, PAPER, DefaultBoxes, ScoringHead

SHAPES = {
    300: (PAPER, (38, 19, 10, 5, 3, 1)),
    512: (
        DefaultBoxes(
            ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
            scales=(0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
            steps=(8, 16, 32, 64, 128, 256, 512),
        ),
        (64, 32, 16, 8, 4, 2, 1),
    ),
}
"""By the side of the input in pixels: the default boxes, and the sides of the maps that they are on."""

SMALL, EXTRA = 128, 256  # channels inside the convolutions after the backbone, and of their maps
DEVIATION = 0.001  # of the heads' first weights
OVERLAP = 0.5  # of a default box with an object that it predicts
NEGATIVES = 3  # that count, for each default box that predicts an object
NOTHING, NEITHER = -1, -2  # of `match`


class SSDLite0(SingleShot):
    """The network, with random weights but for the backbone's.

    Args:
        classes: their number; the background is none of them.
        size: of the input, a key of SHAPES.
        backbone: by default one with random weights.

    Attributes:
        grid: (N, 4) float32 xyxy, the default boxes in pixels of the input.
    """

    grid: Tensor

    def __init__(self, classes: int = 20, size: int = 300, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes, self.size = classes, size
        self.backbone = backbone or EfficientNetLite0()
        boxes, sides = SHAPES[size]
        shallow, fine, _ = CHANNELS
        channels = [shallow, fine, self.backbone.last]
        self.extra = nn.ModuleList()
        for before, after in pairwise(sides[2:]):
            self.extra.append(_coarser(channels[-1], halves=after != before - 2))
            channels.append(EXTRA)
        layers = [nn.Conv2d(n, boxes.count(i) * (5 + classes), 3, padding=1) for i, n in enumerate(channels)]
        for layer in layers:  # the maps' numbers are large: with usual weights, the first losses are 90
            nn.init.normal_(layer.weight, std=DEVIATION)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.head = ScoringHead(layers, 5 + classes)
        grid = torch.cat([boxes.grid(i, side, side, size, size) for i, side in enumerate(sides)])
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, size, size) normalised.

        Returns: (B, N, 4 + 1 + C), for each default box the correction, and the scores of nothing and of the classes.
        """
        return self.headed(self.backbone(x))

    def headed(self, features: Sequence[Tensor]) -> Tensor:
        """Args: features, the backbone's three maps. Returns: as `forward`."""
        maps = list(features)
        for more in self.extra:
            maps.append(more(maps[-1]))
        raw: Tensor = self.head(maps)
        return raw

    def losses(self, raw: Tensor, targets: Targets) -> dict[str, Tensor]:
        return ssd_loss(raw, self.grid, targets)

    def decoded(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        boxes = clip(apply(raw[..., :4], self.grid, BOX_WEIGHTS), self.size, self.size)
        return boxes, raw[..., 4:].softmax(-1)[..., 1:]


def _coarser(inputs: int, halves: bool) -> nn.Sequential:
    """The next map: 1x1, then 3x3, which halves its sides, or takes one cell from each edge."""
    wide = nn.Conv2d(SMALL, EXTRA, 3, 2 if halves else 1, int(halves), bias=False)
    return nn.Sequential(*conv_bn(inputs, SMALL), nn.ReLU(True), wide, nn.BatchNorm2d(EXTRA), nn.ReLU(True))


def like(state: Mapping[str, Tensor]) -> SSDLite0:
    """An untrained network with the shapes of these weights. Raises KeyError, ValueError: they are of another one."""
    extra = sum(name.startswith("extra.") and name.endswith(".0.weight") for name in state)
    for size, (boxes, sides) in SHAPES.items():
        if len(sides) == 3 + extra:
            return SSDLite0(len(state["head.module_list.0.bias"]) // boxes.count(0) - 5, size)
    raise ValueError(f"{3 + extra} maps; expected {' or '.join(str(len(sides)) for _, sides in SHAPES.values())}")


def match(grid: Tensor, boxes: Tensor, ignore: Tensor) -> Tensor:
    """Which object each default box predicts: one that it overlaps by more than OVERLAP. An object has one at least.

    Args:
        grid: (N, 4) xyxy, the default boxes.
        boxes: (G, 4) xyxy, the objects of a picture.
        ignore: (G,) bool: an object that nobody needs to find; who overlaps it is not background either.

    Returns:
        (N,) int64, rows of `boxes`, NOTHING for background, or NEITHER.
    """
    if not len(boxes):
        return torch.full((len(grid),), NOTHING, device=grid.device)
    overlap = overlaps(boxes[:, None], grid)  # (G, N)
    best, row = overlap.max(0)
    found = torch.where(best > OVERLAP, torch.where(ignore[row], NEITHER, row), NOTHING)
    most, own = overlap.max(1)
    order = most.argsort(stable=True)  # two objects with one best box: the one that overlaps it more has it
    for g in order[~ignore[order]].tolist():
        found[own[g]] = g
    return found


def ssd_loss(raw: Tensor, grid: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Equation 1: softmax cross-entropy of the classes, with hard negatives, and smooth L1 of the corrections.

    An uncertain label counts less. Open regions are not known here: only mixtures of data sets have them, and those
    train YOLOv2.

    Args:
        raw: (B, N, 4 + 1 + C), the network's output.
        grid: (N, 4) xyxy, the default boxes in pixels of the input.
        targets: the true boxes.

    Returns:
        "box", "class", and their sum "loss": scalars, sums over the batch divided by the number of default boxes that
        predict an object.
    """
    with torch.no_grad():
        rows = [(targets.image == number).nonzero()[:, 0] for number in range(len(raw))]
        found = torch.stack([match(grid, targets.boxes[row], targets.ignore[row]) for row in rows])  # (B, N)
        image, box = (found >= 0).nonzero(as_tuple=True)
        first = torch.tensor([0, *(len(row) for row in rows[:-1])], device=raw.device).cumsum(0)
        truth = torch.cat(rows)[first[image] + found[image, box]]
    sure = targets.sure[truth]
    positives = sure.sum().clamp(min=1)
    goal = encode(targets.boxes[truth], grid[box], BOX_WEIGHTS)
    distance = F.smooth_l1_loss(raw[image, box, :4], goal, reduction="none").sum(1)
    wanted = torch.zeros(found.shape, dtype=torch.int64, device=raw.device)  # 0 is nothing
    wanted[image, box] = targets.classes[truth] + 1
    entropy = F.cross_entropy(raw[..., 4:].flatten(0, 1), wanted.flatten(), reduction="none").view_as(found)
    hard = hardest(entropy.detach(), found)
    parts = {
        "box": (distance * sure).sum() / positives,
        "class": ((entropy[image, box] * sure).sum() + entropy[hard].sum()) / positives,
    }
    return {"loss": parts["box"] + parts["class"], **parts}


def hardest(entropy: Tensor, found: Tensor) -> Tensor:
    """The background that counts, (B, N) bool: NEGATIVES for each default box of the picture that predicts an object.

    A picture without objects counts as one with one.

    Args:
        entropy: (B, N) float, the loss of each default box.
        found: (B, N) int64, as of `match`.
    """
    nothing = found == NOTHING
    most = NEGATIVES * (found >= 0).sum(1).clamp(min=1)
    order = torch.where(nothing, entropy, -1.0).argsort(dim=1, descending=True, stable=True)
    hard: Tensor = nothing & (order.argsort(dim=1) < most[:, None])
    return hard
