"""OverFeat: a network that classifies and localizes, slid over a picture at several scales in one pass.

Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks" (2013); the
lecture's "Overfeat". The heads of the localizer (models/localizer.py) see a window. Their fully connected layers are
turned into convolutions (`slide`), so a larger picture gives the predictions of all its windows: what
windows share is computed once. No convolution pads, so these are the numbers of one window after another
(`OverFeat.window`).

The trunk is EfficientNet-Lite0 up to stride 16 with ImageNet's weights, frozen. Without padding, an output sees 339
pixels, of which the middle counts most. So the heads see a field of FIELD pixels, and a box is relative to the window
in its middle, of WINDOW pixels. The class head has a class more than the paper's localizer: the background, as in its
section 5 on detection.

    model = OverFeat(classes=18)
    boxes, scores = model(images)  # (B, 3, S, S) RGB in 0..255 -> (B, N, 4) xyxy pixels, (B, N, 18), N windows
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import (
    CHANNELS,
    MEAN,
    SCALE,
    STRIDE_16_STAGES,
    WHOLE,
    EfficientNetLite0,
    InvertedBottleneck,
    normalise,
)
from watchline.models.localizer import CELLS, Heads

STRIDE = 16
FIELD = 435  # pixels that the heads see: 339 of an output, and 16 for each further cell
WINDOW = 192  # pixels of it that a box is relative to
BEFORE = (FIELD - WINDOW) // 2  # pixels of the field to the left of the window, and above it
AFTER = FIELD - WINDOW - BEFORE
SIDES = (192, 256, 336, 432, 544, 672)  # of the picture at six scales: WINDOW and multiples of STRIDE
GREY = 114  # of what is beyond the picture: the letterbox's
BLOCKS = sum(len(stage) for stage in WHOLE[:STRIDE_16_STAGES])


class OverFeat(nn.Module):
    """The network. Args: classes, their number K without the background."""

    def __init__(self, classes: int, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes = classes
        backbone = backbone or EfficientNetLite0()
        self.stem, self.blocks = backbone.stem, backbone.blocks[:BLOCKS]
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding = (0, 0)
        self.heads = Heads(CHANNELS[1], 1 + classes, classes)

    def features(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised. Returns: (B, 112, 1 + (H - 339) // 16, 1 + (W - 339) // 16)."""
        x = self.stem(x)
        for block in self.blocks:
            x = _unpadded(cast(InvertedBottleneck, block), x)
        return x

    def window(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One field at a time. Args: x (B, 3, FIELD, FIELD). Returns: logits (B, 1 + K), boxes (B, K, 4)."""
        logits, boxes = self.heads(self.features(x))
        return logits, boxes

    def windows(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All fields at once. Args: x (B, 3, H, W). Returns: logits (B, 1 + K, h, w), boxes (B, K, 4, h, w)."""
        maps = self.features(x)
        boxes = slide(self.heads.locate, maps)  # (B, K * 4, h, w)
        return slide(self.heads.classify, maps), boxes.reshape(-1, self.classes, 4, *map(int, boxes.shape[2:]))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The candidates of all windows at all scales. A window has one box: that of its best class.

        Args:
            images: (B, 3, S, S) RGB in 0..255.

        Returns:
            boxes (B, N, 4) xyxy in pixels of the images; scores (B, N, K), of which one in each row is not 0.
        """
        x, size = normalise(images), int(images.shape[3])
        found = [candidates(*self.windows(framed(x, side)), size / side) for side in SIDES]
        boxes, scores = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        return boxes, scores


def _unpadded(block: InvertedBottleneck, x: Tensor) -> Tensor:
    """A block whose convolutions do not pad: its shortcut leaves out the edge that the others lose."""
    y: Tensor = block.project(block.depthwise(block.expand(x)))
    if not block.shortcut:
        return y
    edge = cast(nn.Conv2d, block.depthwise[0]).kernel_size[0] // 2
    return x[..., edge:-edge, edge:-edge] + y


def slide(head: nn.Sequential, maps: Tensor) -> Tensor:
    """A head at every position of a map: its fully connected layers as convolutions of 7 x 7 and of 1 x 1.

    Args:
        head: of `Heads`, in evaluation.
        maps: (B, C, H, W).

    Returns:
        (B, outputs, H - 6, W - 6).
    """
    norm, _, hidden, _, _, last = head
    x = F.conv2d(norm(maps), hidden.weight.unflatten(1, (-1, CELLS, CELLS)), hidden.bias)  # type: ignore[operator, arg-type]
    return F.conv2d(x.relu(), last.weight[..., None, None], last.bias)  # type: ignore[index, arg-type]


def framed(x: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, S, S), normalised, at one scale: (B, 3, side + 243, side + 243), so that all windows fit.

    The first window begins at the picture's corner.
    """
    x = F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
    return F.pad(x, (BEFORE, AFTER, BEFORE, AFTER), value=(GREY - MEAN) / SCALE)


def candidates(logits: Tensor, boxes: Tensor, zoom: float) -> tuple[Tensor, Tensor]:
    """The box of each window's best class.

    Args:
        logits: (B, 1 + K, h, w). boxes: (B, K, 4, h, w) as x, y, w, h in windows.
        zoom: pixels of the input for each pixel at this scale.

    Returns:
        boxes (B, h * w, 4) xyxy in pixels of the input, and scores (B, h * w, K).
    """
    rows, columns = int(logits.shape[2]), int(logits.shape[3])
    scores = logits.softmax(1)[:, 1:].flatten(2)  # (B, K, h * w)
    best = scores.argmax(1, keepdim=True)  # (B, 1, h * w)
    only = torch.arange(scores.shape[1], device=scores.device).view(1, -1, 1) == best
    shares = (boxes.flatten(3) * only.unsqueeze(2)).sum(1)  # (B, 4, h * w)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    origin = torch.stack([x, y]).flatten(1).to(shares) * STRIDE  # (2, h * w)
    upper = origin + shares[:, :2] * WINDOW
    corners = torch.cat([upper, upper + shares[:, 2:].clamp(min=0) * WINDOW], dim=1) * zoom
    return corners.transpose(1, 2), (scores * only).transpose(1, 2)
