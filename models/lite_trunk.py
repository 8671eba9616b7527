"""EfficientNet-Lite0 as the trunk of Faster R-CNN, instead of the paper's VGG-16, at a hundredth of its cost.

The coarser map, enlarged, is added to the map of stride 16, as in Lin et al., "Feature Pyramid Networks" (2017),
because the last layers distinguish classes best. Two small layers replace fc6 and fc7.

    trunk = LiteTrunk.pretrained()
    features = trunk.features(trunk.normalise(images))  # (B, 128, H/16, W/16)
    vectors = trunk.classifier(patches.flatten(1))  # (K, 128, 7, 7) -> (K, 512)
"""

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0, normalise

OUT = 128  # channels of the map
PATCH = 7  # cells along each side of the fully connected layers' input
EARLY = 3  # number of blocks after the stem that need no fine-tuning, because they detect edges and textures


class LiteTrunk(nn.Module):
    """The trunk, with random weights. It has the attributes of VGG16.

    Args:
        hidden: outputs of fc6 and fc7.
    """

    channels = OUT
    stride, multiple = 16, 32
    pad = (127, 127, 127)

    def __init__(self, hidden: int = 512, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.width = hidden
        self.backbone = backbone or EfficientNetLite0()
        _, fine, coarse = CHANNELS
        self.fine, self.coarse = nn.Conv2d(fine, OUT, 1), nn.Conv2d(coarse, OUT, 1)
        self.classifier = nn.Sequential(  # fc6 and fc7
            nn.Linear(OUT * PATCH * PATCH, hidden), nn.ReLU(True), nn.Linear(hidden, hidden), nn.ReLU(True)
        )

    def normalise(self, images: Tensor) -> Tensor:
        """The pictures as the backbone was trained."""
        return normalise(images)

    def features(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 32. Returns: (B, 128, H/16, W/16)."""
        _, fine, coarse = self.backbone(x)
        above = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        merged: Tensor = self.fine(fine) + above
        return merged.relu()

    def early(self) -> list[nn.Module]:
        """The layers that fine-tuning does not change."""
        return [self.backbone.stem, *self.backbone.blocks[:EARLY]]

    @classmethod
    def pretrained(cls) -> "LiteTrunk":
        """The trunk with the backbone's ImageNet weights. Raises the errors of EfficientNetLite0.pretrained."""
        return cls(backbone=EfficientNetLite0.pretrained())
