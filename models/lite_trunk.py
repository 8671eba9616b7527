"""EfficientNet-Lite0 as the trunk of Faster R-CNN: what VGG-16 is to the paper, at a hundredth of its cost.

The map of stride 16 gets the coarser one added, brought up to its size, as in Lin et al., "Feature Pyramid Networks"
(2017): what the last layers know of ImageNet helps to tell classes apart. Two small layers stand for fc6 and fc7.

    trunk = LiteTrunk.pretrained()
    features = trunk.features(trunk.normalise(images))  # (B, 128, H/16, W/16)
    vectors = trunk.classifier(patches.flatten(1))  # (K, 128, 7, 7) -> (K, 512)
"""

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0

OUT = 128  # channels of the map
PATCH = 7  # cells along each side of what the fully connected layers look at
EARLY = 3  # blocks, after the stem, whose edges and textures need no fine-tuning


class LiteTrunk(nn.Module):
    """The trunk, with random weights. Attributes as VGG16's.

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
        """(B, 3, H, W) RGB in 0..255 -> float about -1..1, as the backbone was trained."""
        return (images.float() - 127.0) / 128.0

    def features(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, H and W multiples of 32. Returns: (B, 128, H/16, W/16)."""
        _, fine, coarse = self.backbone(x)
        above = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        merged: Tensor = self.fine(fine) + above
        return merged.relu()

    def early(self) -> list[nn.Module]:
        """The layers that fine-tuning leaves alone."""
        return [self.backbone.stem, *self.backbone.blocks[:EARLY]]

    @classmethod
    def pretrained(cls) -> "LiteTrunk":
        """With the backbone's ImageNet weights; raises what EfficientNetLite0.pretrained raises."""
        return cls(backbone=EfficientNetLite0.pretrained())
