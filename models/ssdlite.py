"""SSDlite320 with MobileNetV3-Large, for inference with torchvision's weights.

Sandler et al., "MobileNetV2" (2018), section 6.2: SSD whose convolutions are all depthwise or 1 x 1; on Howard et al.,
"Searching for MobileNetV3" (2019), section 6.3: the first map is the expansion inside the first block at stride 32.

    model = SSDLite(classes=91)
    boxes, scores = model(x)  # x (B, 3, 320, 320) in -1..1; (B, 3234, 4) xyxy pixels, (B, 3234, 90)
"""

from collections.abc import Sequence

from torch import Tensor, nn

from watchline.models.mobilenet_v3 import (
    C4,
    LAST,
    LAST_WIDER,
    NORM_TENSORFLOW,
    ROWS,
    InvertedResidual,
    conv_norm,
    features,
)
from watchline.models.ssd import SSD, DefaultBoxes, ScoringHead, SSDHead

LEVELS = 6
MAPS = (ROWS[LAST].expanded, ROWS[-1].outputs * LAST_WIDER)  # channels of the backbone's two maps
EXTRA = (512, 256, 256, 128)  # channels of the maps after the backbone's
LEAST, MOST = 0.2, 0.95  # scales of the first and the last map's boxes
BOXES = DefaultBoxes(
    ratios=((2, 3),) * LEVELS,
    scales=(*(LEAST + (MOST - LEAST) * k / (LEVELS - 1.0) for k in range(LEVELS)), 1.0),
)


class MobileNet(nn.Module):
    """Args: reduced, whether the last blocks have half the channels (torchvision's without ImageNet weights)."""

    def __init__(self, reduced: bool) -> None:
        super().__init__()
        layers = list(features(NORM_TENSORFLOW, reduced))
        first = layers[C4]
        assert isinstance(first, InvertedResidual), "C4 is a block of the table"
        self.features = nn.Sequential(
            nn.Sequential(*layers[:C4], first.block[0]),  # to the expansion, stride 16
            nn.Sequential(first.block[1:], *layers[C4 + 1 :]),
        )
        inputs = MAPS[1] // 2 if reduced else MAPS[1]
        self.channels = (MAPS[0], inputs, *EXTRA)
        self.extra = nn.ModuleList()
        for outputs in EXTRA:
            self.extra.append(_extra(inputs, outputs))
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        """Args: x (B, 3, 320, 320). Returns: six maps of sides 20, 10, 5, 3, 2 and 1."""
        maps = []
        for block in (*self.features, *self.extra):
            x = block(x)
            maps.append(x)
        return maps


def _extra(inputs: int, outputs: int) -> nn.Sequential:
    """The next coarser map: 1 x 1 to half the channels, 3 x 3 depthwise at stride 2, 1 x 1."""
    half = outputs // 2
    return nn.Sequential(
        conv_norm(inputs, half, 1, nn.ReLU6, NORM_TENSORFLOW),
        conv_norm(half, half, 3, nn.ReLU6, NORM_TENSORFLOW, stride=2, groups=half),
        conv_norm(half, outputs, 1, nn.ReLU6, NORM_TENSORFLOW),
    )


class SSDLite(SSD):
    """torchvision's ssdlite320_mobilenet_v3_large.

    Args: classes, their number including the background; reduced as in MobileNet; reported as in SSD.
    """

    def __init__(self, classes: int, reduced: bool = True, reported: Sequence[int] | None = None) -> None:
        backbone = MobileNet(reduced)

        def scoring(columns: int) -> ScoringHead:
            layers = [
                nn.Sequential(
                    conv_norm(n, n, 3, nn.ReLU6, NORM_TENSORFLOW, groups=n), nn.Conv2d(n, BOXES.count(i) * columns, 1)
                )
                for i, n in enumerate(backbone.channels)
            ]
            return ScoringHead(layers, columns)

        super().__init__(backbone, SSDHead(scoring(classes), scoring(4)), BOXES, reported)
