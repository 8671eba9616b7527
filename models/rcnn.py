"""R-CNN: regions with CNN features. Every proposed region is warped, and the network runs for each of them.

Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object detection and semantic segmentation"
(2014); the lecture's "R-CNN": Selective Search, a warp, the features of a trained classifier whose last layers are
replaced by one binary SVM per class, and linear regression for bounding box offsets.

    model = RCNN(classes=20, backbone=EfficientNetLite0.pretrained())
    features = model.features(images, regions)   # (B, 3, H, W) RGB, (B, K, 4) -> (B, K, 1280)
    boxes, scores = model(images, proposals)     # -> (B, N, 4) xyxy pixels, (B, N, C)

The SVMs and the regressors are linear, so once trained each is one layer. Letters as in `models/fast_rcnn.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.boxes import apply, clip
from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise
from watchline.models.fast_rcnn import best_pairs, picture_size
from watchline.models.roi import roi_align

SIDE = 128  # pixels of a warped region; the paper has 227, at three times the time
CONTEXT = 16 / 227  # of its side: so much of what is around the region is on each side of it (appendix A)
BINS = 2  # along each side of the last map, averaged
FEATURES = CHANNELS[-1] * BINS**2
AT_ONCE = 50  # regions in a run of the network, so that memory does not grow with their number


class RCNN(nn.Module):
    """The network, one SVM per class and one regressor per class. Args: classes, their number."""

    def __init__(self, classes: int, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone or EfficientNetLite0()
        self.svm = nn.Linear(FEATURES, classes)
        self.box = nn.Linear(FEATURES, classes * 4)

    def forward(self, images: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """The best pairs of a region and a class, not suppressed.

        Args:
            images: (B, 3, H, W) RGB in 0..255.
            proposals: (B, K, 4) xyxy in pixels of the input.

        Returns:
            boxes (B, N, 4), and scores (B, N, C), those of the SVMs' margins: 0.27 is the decision's border.
        """
        features = torch.cat([self.features(images, some) for some in torch.split(proposals, AT_ONCE, 1)], dim=1)
        moves = self.box(features).view(-1, int(features.shape[1]), self.classes, 4)  # (B, K, C, 4)
        boxes = clip(apply(moves, proposals.unsqueeze(2)), *picture_size(images))
        return best_pairs(boxes, score(self.svm(features)))

    def features(self, images: Tensor, regions: Tensor) -> Tensor:
        """The features of each region, (B, K, FEATURES). Args: images, RGB in 0..255; regions (B, K, 4)."""
        crops = warp(normalise(images), regions)  # (B, K, 3, SIDE, SIDE)
        *_, coarse = self.backbone(crops.flatten(0, 1))  # (B * K, 320, 4, 4)
        bins = F.avg_pool2d(coarse, SIDE // 32 // BINS)
        return bins.reshape(-1, int(regions.shape[1]), FEATURES)


def score(margins: Tensor) -> Tensor:
    """Margins as scores in 0..1, in the same order: sigmoid(3 m - 1).

    An SVM has no probabilities, and it puts negatives at a margin of -1, which a plain sigmoid makes 0.27, above the
    detectors' default threshold of 0.25. Here -1 is 0.018, 0, the border of the decision, is 0.27, and 1 is 0.88.
    """
    return (3 * margins - 1).sigmoid()


def warp(images: Tensor, regions: Tensor) -> Tensor:
    """Each region with its context as a square, whatever its aspect ratio; 0 outside of the picture.

    Args: images (B, C, H, W), regions (B, K, 4) xyxy in their pixels. Returns: (B, K, C, SIDE, SIDE).
    """
    near, far = regions[..., :2], regions[..., 2:]
    around = (far - near) * (CONTEXT / (1 - 2 * CONTEXT))
    grown = (
        torch.cat([near - around, far + around], dim=-1) - 0.5
    )  # pixel centres are at 0.5; RoI align's at whole numbers
    return roi_align([images], grown, [1.0], torch.zeros_like(grown[..., 0]), SIDE, sampling=1)
