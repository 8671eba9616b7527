"""VGG-16: thirteen convolutions of 3 x 3 and two fully connected layers, the trunk of Fast and Faster R-CNN.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), configuration D.
The fifth pooling is left out, as in the detectors: the map has stride 16, and RoI pooling replaces the fifth pooling.
The parameter names are torchvision's, so its ImageNet weights load. The last layer, ImageNet's thousand classes, is
left out.

    trunk = VGG16.pretrained(state_dict, "vgg16-397923af.pth")
    features = trunk.features(trunk.normalise(images))  # (B, 512, H/16, W/16)
    vectors = trunk.classifier(patches.flatten(1))  # (K, 512, 7, 7) -> (K, 4096)
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from watchline.models.errors import CheckpointError

CHANNELS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
OUT = 512  # channels of the map
PATCH = 7  # cells along each side of the fully connected layers' input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1, as in torchvision's training
EXPECTED = "a state dict of torchvision's vgg16: features.0 to .28, classifier.0 and .3"


class VGG16(nn.Module):
    """The trunk, with random weights.

    Args:
        hidden: outputs of fc6 and fc7. ImageNet's weights have 4096.

    Attributes:
        channels: of the map.
        width: length of the vectors.
        stride: pixels per cell of the map.
        multiple: the sides of pictures must be multiples of it.
        pad: RGB, the colour that `normalise` maps to nearly zero.
    """

    channels = OUT
    stride = multiple = 16
    pad = (124, 116, 104)

    def __init__(self, hidden: int = 4096) -> None:
        super().__init__()
        self.width = hidden
        self.features = nn.Sequential(*_convolutions())
        self.classifier = nn.Sequential(  # fc6 and fc7
            nn.Linear(OUT * PATCH * PATCH, hidden),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(True),
            nn.Dropout(),
        )

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255 -> float, in which ImageNet's pixels have mean 0 and deviation 1."""
        mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) * 255 for v in (MEAN, STD))
        return (images.float() - mean) / std

    def early(self) -> list[nn.Module]:
        """The layers that fine-tuning does not change: conv1 and conv2, as in the paper (section 3.3)."""
        return [self.features[i] for i in range(10)]

    @classmethod
    def pretrained(cls, state: Mapping[str, Tensor], where: str) -> "VGG16":
        """The trunk with ImageNet's weights.

        Args:
            state: state dict of torchvision's vgg16; its last layer, classifier.6, may be missing.
            where: name of the file, for the error.

        Raises:
            CheckpointError: the state dict is of another network.
        """
        with torch.device("meta"):  # otherwise half a gigabyte of random numbers is made, and never used
            model = cls()
        wanted = {name: value.shape for name, value in model.state_dict().items()}
        if wrong := _differences(state, wanted):
            raise CheckpointError(f"{where} is not VGG-16: {wrong[0]}, {len(wrong)} differ; expected {EXPECTED}")
        model.to_empty(device="cpu").load_state_dict({name: state[name] for name in wanted})
        return model


def _convolutions() -> list[nn.Module]:
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in CHANNELS:
        if isinstance(outputs, str):
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        layers += [convolution, nn.ReLU(True)]
        inputs = outputs
    return layers


def _differences(state: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> list[str]:
    """Parameters that a state dict lacks or has in another shape, and those that are not of VGG-16."""
    found = []
    for name, shape in wanted.items():
        value = state.get(name)
        if value is None:
            found.append(f"{name} is missing")
        elif value.shape != shape:
            found.append(f"{name} has the shape {tuple(value.shape)} and not {tuple(shape)}")
    beyond = [name for name in state if name not in wanted and not name.startswith("classifier.6.")]
    return found + [f"{name} is unknown" for name in beyond]
