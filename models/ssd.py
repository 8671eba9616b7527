"""SSD300 with VGG-16, for inference with torchvision's weights.

Liu et al., "SSD: Single Shot MultiBox Detector" (2016): on each of six maps, which get coarser and coarser, 3 x 3
convolutions predict scores and corrections of default boxes, whose size fits the map. There are no proposals and no
pooling.

    model = SSD300(classes=91)
    boxes, scores = model(x)  # x (B, 3, 300, 300) normalised; (B, 8732, 4) xyxy pixels, (B, 8732, 90)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from watchline.models.boxes import apply, clip

BOX_WEIGHTS = (10.0, 5.0)  # the paper's variances 0.1 and 0.2
EARLY = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "ceil", 512, 512, 512)  # VGG-16 to conv4_3
LATE = ("pool", 512, 512, 512)  # and to conv5_3
MAPS = (512, 1024, 512, 256, 256, 256)  # channels
EXTRA = ((1024, 256, 512, 2, 1), (512, 128, 256, 2, 1), (256, 128, 256, 1, 0), (256, 128, 256, 1, 0))
CONV4_3_NORM = 20.0  # initial norm of the first map; it is learned


@dataclass(frozen=True)
class DefaultBoxes:
    """The table of default boxes (section 2.2).

    Attributes:
        ratios: of the longer to the shorter side, for each map; 1 is always included.
        scales: sides of the square boxes of each map, as shares of the picture's, and one more.
        steps: pixels between the centres, for each map; None if the map's cells fill the picture.
    """

    ratios: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]
    steps: tuple[int, ...] | None = None

    def count(self, level: int) -> int:
        """Number of default boxes at each cell of a map."""
        return 2 + 2 * len(self.ratios[level])

    def grid(self, level: int, rows: int, columns: int, width: int, height: int) -> Tensor:
        """The boxes of one map, cell by cell: (rows * columns * count, 4) xyxy in pixels of the picture."""
        own, next_one = self.scales[level : level + 2]
        between = math.sqrt(own * next_one)
        shapes = [(own, own), (between, between)]
        for ratio in self.ratios[level]:
            longer, shorter = own * math.sqrt(ratio), own / math.sqrt(ratio)
            shapes += [(longer, shorter), (shorter, longer)]
        half = torch.tensor(shapes).clamp(0, 1) / 2  # (count, 2) as shares
        step = self.steps[level] if self.steps else None
        x = (torch.arange(columns) + 0.5) / (width / step if step else columns)
        y = (torch.arange(rows) + 0.5) / (height / step if step else rows)
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centre = torch.stack([grid_x, grid_y], dim=-1).reshape(-1, 1, 2)
        boxes = torch.cat([centre - half, centre + half], dim=-1).reshape(-1, 4)
        return boxes * torch.tensor([width, height, width, height])


PAPER = DefaultBoxes(
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    steps=(8, 16, 32, 64, 100, 300),
)


class VGG(nn.Module):
    """VGG-16 with its fully connected layers made convolutional, and four more maps after it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_weight = nn.Parameter(torch.full((512,), CONV4_3_NORM))
        self.features = nn.Sequential(*_convolutions(3, EARLY))
        fc = nn.Sequential(
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),  # fc6, dilated
            nn.ReLU(True),
            nn.Conv2d(1024, 1024, 1),  # fc7
            nn.ReLU(True),
        )
        self.extra = nn.ModuleList([nn.Sequential(*_convolutions(512, LATE), fc)])
        for inputs, hidden, outputs, stride, padding in EXTRA:
            narrow, wide = nn.Conv2d(inputs, hidden, 1), nn.Conv2d(hidden, outputs, 3, stride, padding)
            self.extra.append(nn.Sequential(narrow, nn.ReLU(True), wide, nn.ReLU(True)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Args: x (B, 3, 300, 300). Returns: six maps of sides 38, 19, 10, 5, 3 and 1."""
        x = self.features(x)
        length = x.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        maps = [self.scale_weight.view(1, -1, 1, 1) * x / length]  # ParseNet's normalisation (section 3.1)
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return maps


def _convolutions(inputs: int, plan: Sequence[int | str]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for step in plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, ceil_mode=step == "ceil"))
        else:
            layers += [nn.Conv2d(inputs, step, 3, padding=1), nn.ReLU(True)]
            inputs = step
    return layers


class ScoringHead(nn.Module):
    """A convolution for each map; their outputs are one table. Args: columns, the numbers per default box."""

    def __init__(self, layers: Sequence[nn.Module], columns: int) -> None:
        super().__init__()
        self.columns = columns
        self.module_list = nn.ModuleList(layers)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Args: maps (B, n, h, w). Returns: (B, N, columns), map by map, cell by cell, default box by default box."""
        tables = []
        for layer, x in zip(self.module_list, maps, strict=True):
            output = layer(x)
            _, channels, rows, columns = (int(n) for n in output.shape)
            boxes = channels // self.columns
            cells = output.reshape(-1, boxes, self.columns, rows, columns).permute(0, 3, 4, 1, 2)
            tables.append(cells.reshape(-1, rows * columns * boxes, self.columns))
        return torch.cat(tables, dim=1)


class SSDHead(nn.Module):
    """Args: classification, which predicts scores; regression, which predicts corrections."""

    def __init__(self, classification: ScoringHead, regression: ScoringHead) -> None:
        super().__init__()
        self.classification_head = classification
        self.regression_head = regression


class SSD(nn.Module):
    """SSD on any backbone.

    Args:
        backbone: returns a list of maps.
        head: predicts scores and corrections from them.
        boxes: the default boxes.
        reported: classes in the output; all except the background, class 0, if None.
    """

    reported: Tensor

    def __init__(
        self, backbone: nn.Module, head: SSDHead, boxes: DefaultBoxes, reported: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.boxes = backbone, head, boxes
        classes = range(1, head.classification_head.columns)
        self.register_buffer("reported", torch.tensor(reported or classes), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, 3, H, W) normalised. Returns: boxes (B, N, 4) xyxy in pixels, scores (B, N, C)."""
        height, width = int(x.shape[2]), int(x.shape[3])
        maps = self.backbone(x)
        logits, deltas = self.head.classification_head(maps), self.head.regression_head(maps)
        sides = [(int(m.shape[2]), int(m.shape[3])) for m in maps]
        grid = torch.cat([self.boxes.grid(i, *side, width, height) for i, side in enumerate(sides)]).to(x)
        return clip(apply(deltas, grid, BOX_WEIGHTS), width, height), logits.softmax(-1)[..., self.reported]


class SSD300(SSD):
    """torchvision's ssd300_vgg16. Args: classes, their number including the background; reported as in SSD."""

    def __init__(self, classes: int, reported: Sequence[int] | None = None) -> None:
        def scoring(columns: int) -> ScoringHead:
            layers = [nn.Conv2d(n, PAPER.count(i) * columns, 3, padding=1) for i, n in enumerate(MAPS)]
            return ScoringHead(layers, columns)

        super().__init__(VGG(), SSDHead(scoring(classes), scoring(4)), PAPER, reported)
