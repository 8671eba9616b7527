"""Sliding-window segmentation: a network sees a window of the picture and says the class of its central pixel.

The lecture's first idea (Farabet et al., "Learning Hierarchical Features for Scene Labeling", 2013; Pinheiro and
Collobert, 2014), and why nobody does it this way: "very inefficient, not reusing shared features between overlapping
patches". `by_windows` does it, window after window. `at_once` makes the same network fully convolutional: its fully
connected layer is a convolution, and it runs once over the whole picture. No layer pads, so both give the same numbers.

    model = WindowNet(classes=11)
    scores = by_windows(model, image)  # (classes, H/8, W/8), of one picture (3, H, W) normalised
    same = at_once(model, image)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 67  # pixels, odd: the middle one is the central pixel
STRIDE = 8  # pixels between windows: the product of the network's strides
WIDTHS = (16, 24, 32, 48, 64)


class WindowNet(nn.Module):
    """Five convolutions and two fully connected layers, which are written as the convolutions that they are.

    Args:
        classes: their number.
        hidden: outputs of the first fully connected layer.
    """

    def __init__(self, classes: int, hidden: int = 128) -> None:
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.features = nn.Sequential(
            *_layer(3, a, 3, stride=2),  # 67 -> 33
            *_layer(a, b, 3),  # -> 31
            *_layer(b, c, 3, stride=2),  # -> 15
            *_layer(c, d, 3),  # -> 13
            *_layer(d, e, 3, stride=2),  # -> 6
        )
        self.hidden = nn.Sequential(*_layer(e, hidden, 6))  # -> 1
        self.scores = nn.Conv2d(hidden, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, at least 67 x 67. Returns: (B, classes, 1 + (H - 67) // 8, …).

        One window gives one row of scores; a picture gives those of all its windows.
        """
        scores: Tensor = self.scores(self.hidden(self.features(x)))
        return scores


def framed(image: Tensor) -> Tensor:
    """The picture (3, H, W) with half a window around it, in which the central pixels of its windows are its own.

    The border mirrors the picture, so that no window sees a colour that is not there.
    """
    half = WINDOW // 2
    return F.pad(image[None], (half, half, half, half), mode="reflect")[0]


def by_windows(model: WindowNet, image: Tensor, batch: int = 64) -> Tensor:
    """Scores (classes, ceil(H / 8), ceil(W / 8)) of the pixels at multiples of 8, a window for each.

    Args:
        image: (3, H, W) float, normalised, each side more than half a window.
        batch: windows that the network sees at once.
    """
    windows = framed(image).unfold(1, WINDOW, STRIDE).unfold(2, WINDOW, STRIDE)  # (3, h, w, 67, 67)
    _, height, width, _, _ = windows.shape
    rows = windows.permute(1, 2, 0, 3, 4).reshape(-1, 3, WINDOW, WINDOW)
    scores = torch.cat([model(rows[first : first + batch]) for first in range(0, len(rows), batch)])
    return scores.flatten(1).T.reshape(-1, height, width)


def at_once(model: WindowNet, image: Tensor) -> Tensor:
    """The same scores as `by_windows`, by one pass over the whole picture (3, H, W)."""
    scores: Tensor = model(framed(image)[None])[0]
    return scores


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
