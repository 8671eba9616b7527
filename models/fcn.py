"""FCN: a classifier made convolutional, so that it predicts the class of every pixel.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015), as torchvision builds it:
a dilated ResNet at stride 8, two convolutions, bilinear upsampling (the paper's FCN-8s has VGG-16 and skips instead).

    model = FCN(50, classes=21)
    logits = model(x)  # (B, 3, H, W) normalised -> (B, 21, H, W)
"""

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.resnet import CHANNELS, ResNet

STRIDE = 8


class FCN(nn.Module):
    """Args: depth of the ResNet, 50 or 101; classes, their number including the background."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        hidden = CHANNELS[-1] // 4
        self.backbone = ResNet(depth, dilated=True)
        self.classifier = nn.Sequential(
            nn.Conv2d(CHANNELS[-1], hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(hidden, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 8. Returns: logits (B, classes, H, W)."""
        coarse = self.classifier(self.backbone(x)[-1])  # (B, classes, H/8, W/8)
        return F.interpolate(coarse, scale_factor=float(STRIDE), mode="bilinear", align_corners=False)
