"""Mask R-CNN at several scales: "At test time, combine results obtained at different scales" (the lecture's words).

The network looks at the picture in several sizes. Its candidates of all sizes are suppressed together; then each box
that is left becomes the mean of the candidates that overlap it most, weighted by their scores (box voting: Gidaris and
Komodakis, "Object detection via a multi-region and semantic segmentation-aware CNN model", 2015, section 4), and its
mask the mean of the masks that it has in each size.

    model = SeveralScales(LiteMaskRCNN(classes=1), (0.75, 1.0, 1.25))
    boxes, scores, masks = model.detect(normalise(images))  # as of LiteMaskRCNN
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import overlaps
from watchline.models.fast_rcnn import picture_size
from watchline.models.mask_rcnn_lite import MULTIPLE, Candidates, LiteMaskRCNN

SAME = 0.7  # IoU with a box from which a candidate has a vote


class SeveralScales(nn.Module):
    """Args: model; scales, factors on the size of the picture."""

    def __init__(self, model: LiteMaskRCNN, scales: Sequence[float]) -> None:
        super().__init__()
        self.model, self.scales = model, tuple(scales)

    def detect(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `LiteMaskRCNN.detect`."""
        model, size = self.model, picture_size(x)
        sizes = [scaled(size, scale) for scale in self.scales]
        looks = [model.look(x if own == size else resized(x, own)) for own in sizes]
        factors = [torch.tensor([own[0] / size[0], own[1] / size[1]] * 2, device=x.device) for own in sizes]
        parts = [
            model.candidates(look._replace(regions=look.regions / factor), size)
            for look, factor in zip(looks, factors, strict=True)
        ]
        candidates = Candidates(
            torch.cat([part.boxes for part in parts], 1),
            torch.cat([part.scores for part in parts], 1),
            torch.cat([part.labels for part in parts]),
        )
        boxes, scores, labels = model.thin(candidates, 4 * model.settings.masks * len(looks))
        boxes = voted(boxes, labels, candidates)
        each = [model.masks(look.fine, boxes * factor, labels) for look, factor in zip(looks, factors, strict=True)]
        return boxes, model.one_hot(scores, labels), torch.stack(each).mean(0)


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) in pixels times the scale, rounded to multiples of 32."""
    width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in size)
    return width, height


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, C, H, W) in another (width, height), interpolated between the four nearest pixels."""
    return F.interpolate(x, (size[1], size[0]), mode="bilinear", align_corners=False)


def voted(boxes: Tensor, labels: Tensor, candidates: Candidates) -> Tensor:
    """Each box as the mean of the candidates of its class that overlap it by more than SAME, weighted by their scores.

    Args: boxes (B, D, 4), zeros in empty rows, which stay; labels (B, D). Returns: (B, D, 4).
    """
    same = overlaps(boxes.unsqueeze(2), candidates.boxes.unsqueeze(1)) > SAME  # (B, D, P)
    votes = same * (labels.unsqueeze(-1) == candidates.labels) * candidates.scores.unsqueeze(1)
    total = votes.sum(-1, keepdim=True)
    return torch.where(total > 0, votes @ candidates.boxes / total.clamp(min=1e-6), boxes)
