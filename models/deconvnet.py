"""DeconvNet: an encoder like VGG-16, and its mirror image, which unpools with the encoder's positions.

Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation" (2015), table 2; the lecture's
"corresponding pairs of downsampling and upsampling layers". The encoder is VGG-16 with batch normalisation after each
convolution. Each of its five max poolings keeps the positions of its maxima (`upsampling.max_pool`); the unpooling
that corresponds to it puts values back to those positions, where the object's outline was. Unpooled maps are sparse,
and (transposed) convolutions make them dense.

    model = DeconvNet(classes=21)
    logits = model(x)  # (B, 3, 224, 224) normalised -> (B, 21, 224, 224)
"""

from itertools import pairwise

from torch import Tensor, nn

from watchline.models.upsampling import max_pool, max_unpool

STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))  # channels of the convolutions before each pooling, x width
MULTIPLE = 32  # the sides of pictures must be multiples of it


class DeconvNet(nn.Module):
    """The network.

    Args:
        classes: their number, including a background if there is one.
        width: channels of the first convolution; the paper has 64.
        hidden: channels of fc6 and fc7.
        window: side of fc6's kernel in cells of 32 pixels: 7, so the smallest picture has 224 pixels.
    """

    def __init__(self, classes: int, width: int = 64, hidden: int = 4096, window: int = 7) -> None:
        super().__init__()
        stages = [tuple(width * times for times in stage) for stage in STAGES]
        top = stages[-1][-1]
        inputs = [3, *(stage[-1] for stage in stages)]
        self.encoder = nn.ModuleList(
            _convolutions((first, *stage)) for first, stage in zip(inputs, stages, strict=False)
        )
        self.middle = nn.Sequential(
            *_layer(nn.Conv2d(top, hidden, window)),  # fc6
            *_layer(nn.Conv2d(hidden, hidden, 1)),  # fc7
            *_layer(nn.ConvTranspose2d(hidden, top, window)),  # deconv-fc6
        )
        outputs = [width, *(stage[-1] for stage in stages[:-1])]
        self.decoder = nn.ModuleList(
            _deconvolutions((*reversed(stage), last)) for stage, last in zip(stages, outputs, strict=True)
        )
        self.score = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, sides multiples of 32, at least 32 * window. Returns: (B, classes, H, W)."""
        pools = []
        for stage in self.encoder:
            x, positions = max_pool(stage(x))  # (B, C, H/2, W/2), (B, C, 4, H/2, W/2), and so on
            pools.append(positions)
        x = self.middle(x)  # (B, 8 width, H/32, W/32)
        for stage, positions in zip(reversed(self.decoder), reversed(pools), strict=True):
            x = stage(max_unpool(x, positions))
        logits: Tensor = self.score(x)
        return logits


def _layer(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """With batch normalisation and ReLU after it."""
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(True)]


def _convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    """A 3 x 3 convolution from each number of channels to the next."""
    return nn.Sequential(*(m for a, b in pairwise(channels) for m in _layer(nn.Conv2d(a, b, 3, padding=1))))


def _deconvolutions(channels: tuple[int, ...]) -> nn.Sequential:
    """A 3 x 3 transposed convolution from each number of channels to the next; of stride 1, they keep the size."""
    return nn.Sequential(*(m for a, b in pairwise(channels) for m in _layer(nn.ConvTranspose2d(a, b, 3, padding=1))))
