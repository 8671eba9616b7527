"""Boxes as the targets of a detector's regressor: a shift and a change of size of an anchor.

Girshick et al., "R-CNN" (2014), appendix C, and every detector since: t_x = (x - x_a) / w_a and t_w = log(w / w_a)
for the centre x and the width w of a box and its anchor. Boxes are xyxy in pixels, half-open, as in `ops/boxes.py`,
whose NumPy functions have no gradients. Any number of axes may precede the last.
"""

import math

import torch
from torch import Tensor

Weights = tuple[float, float]  # factors on the regressor's targets: on the shift, and on the log size
MOST = math.log(1000 / 16)  # larger log sizes are clamped, so that exp() stays finite


def encode(boxes: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0)) -> Tensor:
    """The regressor's targets: `apply` turns them and `anchors` into `boxes`.

    Args: boxes, anchors (..., 4) xyxy with positive sides. Returns: (..., 4), t_x, t_y, t_w, t_h times their weights.
    """
    shift, log_size = weights
    size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., 2:] + anchors[..., :2]) / 2
    moved = ((boxes[..., 2:] + boxes[..., :2]) / 2 - centre) / size
    scaled = ((boxes[..., 2:] - boxes[..., :2]) / size).log()
    return torch.cat([moved * shift, scaled * log_size], dim=-1)


def apply(deltas: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0)) -> Tensor:
    """The boxes that the regressor's outputs mean; the inverse of `encode`.

    Args: deltas (..., 4) in the form of `encode`; anchors (..., 4) xyxy. Returns: (..., 4) xyxy, not clipped.
    """
    shift, log_size = weights
    size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., 2:] + anchors[..., :2]) / 2 + deltas[..., :2] / shift * size
    half = (deltas[..., 2:] / log_size).clamp(max=MOST).exp() * size / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def clip(boxes: Tensor, width: int, height: int) -> Tensor:
    """The boxes (..., 4) xyxy, clipped to a picture of `width` x `height` pixels."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def clip_each(boxes: Tensor, extent: Tensor) -> Tensor:
    """The same for each picture of a batch. Args: boxes (B, N, 4); extent (B, 2), width and height of the pictures."""
    return torch.minimum(boxes.clamp(min=0), torch.cat([extent, extent], dim=-1).unsqueeze(1))


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Select rows of each picture's table. Args: table (B, N, n), index (B, K). Returns: (B, K, n)."""
    return table.gather(1, index.unsqueeze(-1).repeat(1, 1, int(table.shape[-1])))


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4) xyxy, which broadcast."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = size.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / union.clamp(min=1e-6)
