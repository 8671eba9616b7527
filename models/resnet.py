"""ResNet-50 and -101 as a backbone: four maps, no classifier.

He et al., "Deep Residual Learning" (2016), table 1, with the stride of a stage in its first 3 x 3 convolution ("v1.5"),
as in torchvision, whose parameter names it uses. For segmentation, the last two stages stay at stride 8 and dilate
their kernels instead (Yu and Koltun, "Multi-Scale Context Aggregation", 2016).
"""

from torch import Tensor, nn

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
CHANNELS = (256, 512, 1024, 2048)  # of the four maps
WIDEN = 4  # factor of a block's output channels on its width


class Bottleneck(nn.Module):
    """1 x 1 to fewer channels, 3 x 3, 1 x 1 to more channels; the input is added."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = width * WIDEN
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y)) + self.downsample(x)
        return y.relu()


class ResNet(nn.Module):
    """Args: depth, 50 or 101; dilated, whether the last two stages stay at stride 8."""

    def __init__(self, depth: int, dilated: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, dilation = 64, 1
        for number, (blocks, outputs) in enumerate(zip(BLOCKS[depth], CHANNELS, strict=True), 1):
            stride = 1 if number == 1 else 2
            before = dilation  # a stage's first block has the dilation of the stage before
            if dilated and number > 2:
                stride, dilation = 1, dilation * 2
            stage = [Bottleneck(inputs, outputs // WIDEN, stride, before)]
            stage += [Bottleneck(outputs, outputs // WIDEN, 1, dilation) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        """Args: x (B, 3, H, W). Returns: (B, 256, H/4, W/4), (B, 512, H/8, …), (B, 1024, H/16, …), (B, 2048, H/32, …).

        The last two are at H/8 if dilated.
        """
        x = self.maxpool(self.bn1(self.conv1(x)).relu())  # (B, 64, H/4, W/4)
        maps = []
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
            maps.append(x)
        return maps
