"""Classification and localization: what the object of a photo is, and where, by two heads on one map.

The lecture's "Simple recipe for Classification + Localization", after Sermanet et al., "OverFeat" (2013), section 4:

1. Take a trained classification model: EfficientNet-Lite0 with ImageNet's weights, and a class head for our classes.
2. Attach a new fully connected regression head, which predicts a box (x, y, w, h).
3. Train the regression head only, with SGD and the squared error (`box_loss`).
4. At test time, use both heads (`decode`).

The regression head is class-agnostic, with 4 numbers, or class-specific, with K x 4. x and y are the left and upper
edge; all four are shares of the picture's width and height.

    model = Localizer(classes=5, boxes=5)
    logits, boxes = model(normalise(images))  # (B, 3, 224, 224) RGB -> (B, 5), (B, 5, 4)
    boxes, scores = decode(logits, boxes, SIDE)  # (B, 5, 4) xyxy pixels, (B, 5, 5)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0

SIDE = 224  # pixels of the input
CELLS = 7  # of its map along each side
HIDDEN = 256


class Heads(nn.Module):
    """A class head and a box head, each of two fully connected layers, on maps of CELLS x CELLS.

    Args:
        channels: of the map.
        scores: outputs of the class head.
        boxes: 1, class-agnostic, or as many as there are classes.
        hidden: outputs of the first fully connected layers.
    """

    def __init__(self, channels: int, scores: int, boxes: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.classify = _head(channels, hidden, scores)
        self.locate = _head(channels, hidden, 4 * boxes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Args: maps (B, channels, CELLS, CELLS). Returns: logits (B, scores), boxes (B, boxes, 4) as x, y, w, h."""
        return self.classify(maps), self.locate(maps).unflatten(1, (-1, 4))


def _head(channels: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),  # the backbone's last layer has no activation, and channels of very different size
        nn.Flatten(),
        nn.Linear(channels * CELLS**2, hidden),
        nn.ReLU(True),
        nn.Dropout(),
        nn.Linear(hidden, outputs),
    )


class Localizer(nn.Module):
    """The backbone with both heads. Args: classes, their number K; boxes, 1 or K."""

    def __init__(self, classes: int, boxes: int, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone or EfficientNetLite0()
        self.heads = Heads(CHANNELS[-1], classes, boxes)

    def features(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, 224, 224) normalised as for the backbone. Returns: (B, 320, 7, 7)."""
        *_, coarse = self.backbone(x)
        found: Tensor = coarse
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x as for `features`. Returns: logits (B, K), and boxes (B, 1 or K, 4) as x, y, w, h in shares."""
        logits, boxes = self.heads(self.features(x))
        return logits, boxes


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy, the mean over a batch. Args: logits (B, K). classes: (B,) int64."""
    return F.cross_entropy(logits, classes)


def box_loss(boxes: Tensor, truth: Tensor, classes: Tensor) -> Tensor:
    """The lecture's E(W_bbox): (x - x_d)^2 + (y - y_d)^2 + (w - w_d)^2 + (h - h_d)^2, the mean over a batch.

    Args:
        boxes: (B, 1 or K, 4), predicted. Of a class-specific head, only the box of the true class d counts.
        truth: (B, 4).
        classes: (B,) int64, d.
    """
    return (_of_class(boxes, classes) - truth).square().sum(1).mean()


def _of_class(boxes: Tensor, classes: Tensor) -> Tensor:
    row = classes if boxes.shape[1] > 1 else torch.zeros_like(classes)
    return boxes[torch.arange(len(boxes), device=boxes.device), row]


def decode(logits: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """A guess for each class: its box, and its probability.

    Args:
        logits: (B, K). boxes: (B, 1 or K, 4) as x, y, w, h in shares.
        side: of the input, in pixels.

    Returns:
        boxes (B, K, 4) xyxy in pixels, and scores (B, K, K), of which row k has the probability of class k, else 0.
    """
    classes = int(logits.shape[1])
    corners = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:].clamp(min=0)], dim=-1)
    scores = logits.softmax(-1).unsqueeze(1) * torch.eye(classes, device=logits.device)
    return corners.expand(-1, classes, -1) * side, scores
