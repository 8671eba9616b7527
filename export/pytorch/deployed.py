"""Networks as they run, which take pictures as they come: detectors without proposals, and what reads the last maps."""

import copy
from typing import cast

from torch import Tensor, nn

from watchline.export.pytorch.smaller import fuse, take_bgr
from watchline.models.efficientnet_lite import MEAN, SCALE, EfficientNetLite0
from watchline.models.single_shot import SingleShot


class OfMaps(nn.Module):
    """The beginning of a network that reads the backbone's last maps of uint8 pictures (B, H, W, 3) BGR."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.backbone)
        take_bgr(self.backbone.stem[0], SCALE)

    @property
    def backbone(self) -> EfficientNetLite0:
        return cast(EfficientNetLite0, self.model.backbone)

    def maps(self, images: Tensor) -> Tensor:
        """(B, 320, H / 32, W / 32)."""
        maps: Tensor = self.backbone(images.permute(0, 3, 1, 2).float() - MEAN)[2]
        return maps


class Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR and decoded boxes."""

    def __init__(self, model: SingleShot) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.model)
        take_bgr(self.model.backbone.stem[0], SCALE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.permute(0, 3, 1, 2).float() - MEAN  # (B, H, W, 3) -> (B, 3, H, W)
        return self.model.decoded(self.model(x))
