"""A detector without proposals as it runs: it takes pictures as they come, and gives boxes and scores."""

import copy

from torch import Tensor, nn

from watchline.export.pytorch.smaller import fuse, take_bgr
from watchline.models.efficientnet_lite import MEAN, SCALE
from watchline.models.single_shot import SingleShot


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
