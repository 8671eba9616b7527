"""FCN on a ResNet, as torchvision builds it: its `fcn_resnet50` and `fcn_resnet101`.

A dilated ResNet at stride 8, two convolutions, bilinear upsampling, and none of the paper's skips (see `fcn.py`).

    model = FCNResNet(50, classes=21)
    logits = model(x)  # (B, 3, H, W) normalised -> (B, 21, H, W)
"""

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.resnet import CHANNELS, ResNet

STRIDE = 8


class FCNResNet(nn.Module):
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
