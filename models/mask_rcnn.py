"""Mask R-CNN, for inference with torchvision's weights: Faster R-CNN that also predicts each object's pixels.

He et al., "Mask R-CNN" (2017): a small fully convolutional network reads the RoI-aligned features of each detected box
and predicts a mask of 28 x 28 for each class. The mask of the box's class is used.

    model = maskrcnn_resnet50_fpn(classes=91)
    boxes, scores, masks = model(x)  # (B, 100, 4), (B, 100, 90), (B, 100, 28, 28)

The detections are suppressed in the network, not afterwards, because a mask takes time and only few are kept.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from watchline.models.boxes import pick
from watchline.models.faster_rcnn_fpn import Candidates, FasterRCNNFPN, RoIHeads, resnet50_fpn
from watchline.models.fpn import CHANNELS
from watchline.models.suppress import suppress

MASKS = 100  # detections with a mask
LAYERS = 4
ROI = 14  # bins along each side of the mask head's input; the mask is twice as fine
LEAST = 0.05  # detections with a lower score are removed
OVERLAP = 0.5  # of two detections of a class with a higher IoU, the better one is kept


class MaskHeads(RoIHeads):
    """The layers that process each proposal and each detection."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        layers = [nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU(True)) for _ in range(LAYERS)]
        self.mask_head = nn.Sequential(*layers)
        self.mask_predictor = nn.Sequential(
            OrderedDict(
                conv5_mask=nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2),
                relu=nn.ReLU(True),
                mask_fcn_logits=nn.Conv2d(CHANNELS, classes, 1),
            )
        )

    def masks(self, features: Tensor, classes: Tensor) -> Tensor:
        """The mask of one class for each box.

        Args: features (B, D, 256, 14, 14); classes (B, D) int64. Returns: (B, D, 28, 28) in 0..1.
        """
        count, side = int(classes.shape[1]), 2 * ROI
        x = self.mask_predictor[:2](self.mask_head(features.reshape(-1, CHANNELS, ROI, ROI)))  # (B * D, 256, 28, 28)
        last = self.mask_predictor[-1]
        assert isinstance(last, nn.Conv2d), "mask_fcn_logits"
        assert last.bias is not None, "torchvision's has one"
        # The last convolution is 1 x 1, a product with one row per class. Only the row of the box's class is
        # multiplied.
        row, bias = last.weight.reshape(-1, CHANNELS)[classes], last.bias[classes]  # (B, D, 256), (B, D)
        logits = row.unsqueeze(2) @ x.reshape(-1, count, CHANNELS, side * side)  # (B, D, 1, 28 * 28)
        masks: Tensor = (logits + bias[..., None, None]).sigmoid().reshape(-1, count, side, side)
        return masks


class MaskRCNN(FasterRCNNFPN):
    """Args: as FasterRCNNFPN."""

    roi_heads: MaskHeads

    def __init__(self, backbone: nn.Module, classes: int, reported: Sequence[int] | None = None) -> None:
        super().__init__(backbone, classes, reported=reported)
        self.roi_heads = MaskHeads(classes)

    def forward(self, x: Tensor, extent: Tensor | None = None) -> tuple[Tensor, ...]:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 32; extent as `detect` has it.

        Returns:
            boxes (B, 100, 4) xyxy in pixels; scores (B, 100, C), one class per row, 0 in empty rows;
            masks (B, 100, 28, 28) in 0..1, stretched over their boxes.
        """
        pyramid = self.backbone(x)
        best = thin(self.detect(pyramid, x, extent))
        features = self.align(pyramid, best.boxes, ROI)  # (B, D, 256, 14, 14)
        return best.boxes, self.one_hot(best), self.roi_heads.masks(features, self.reported[best.labels])


def thin(found: Candidates) -> Candidates:
    """The best detections after suppression within each class, at most MASKS."""
    likely = found.scores > LEAST
    keep = suppress(found.boxes * likely.unsqueeze(-1), OVERLAP, found.labels.to(found.boxes)) & likely
    scores, index = torch.where(keep, found.scores, 0.0).topk(min(MASKS, int(keep.shape[1])))
    return Candidates(pick(found.boxes, index), scores, found.labels.gather(1, index))


def maskrcnn_resnet50_fpn(classes: int, reported: Sequence[int] | None = None) -> MaskRCNN:
    """torchvision's network of this name."""
    return MaskRCNN(resnet50_fpn(), classes, reported)
