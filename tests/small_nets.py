"""Networks that are small or quick enough for tests, and pictures that segmenters can learn in seconds."""

import torch
from torch import Tensor, nn

from watchline.models.mask_rcnn_lite import LiteMaskRCNN
from watchline.models.vgg import PATCH, VGG16


def thin_vgg(hidden: int = 16, share: int = 16) -> VGG16:
    """VGG-16 with a share of its channels."""
    trunk = VGG16(hidden)
    layers: list[nn.Module] = []
    channels = 3
    for layer in trunk.features:
        if isinstance(layer, nn.Conv2d):
            layer = nn.Conv2d(channels, layer.out_channels // share, 3, padding=1)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            channels = layer.out_channels
        layers.append(layer)
    trunk.features = nn.Sequential(*layers)
    trunk.classifier[0] = nn.Linear(channels * PATCH**2, hidden)
    return trunk


def scenes(count: int, side: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, side, side) of grey noise with rectangles, whose class is their colour, and the classes."""
    generator = torch.Generator().manual_seed(0)
    images = 0.1 * torch.randn(count, 3, side, side, generator=generator)
    truth = torch.zeros(count, side, side, dtype=torch.long)
    for image, numbers in zip(images, truth, strict=True):
        for colour in range(1, classes):
            x, y = torch.randint(0, side // 2, (2,), generator=generator).tolist()
            across = (slice(y, y + side // 3), slice(x, x + side // 3))
            image[(colour - 1, *across)] += 1.0
            numbers[across] = colour
    return images, truth


def learn(model: nn.Module, images: Tensor, truth: Tensor, steps: int, rate: float) -> float:
    """Train on the same pictures over and over. Returns the share of right pixels after that, in the mode of use."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(images), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == truth).float().mean())


def mask_rcnn(classes: int = 2) -> LiteMaskRCNN:
    """Random weights, statistics of noise, boxes of some certainty; no two biases are alike, as after a training."""
    torch.manual_seed(0)
    model = LiteMaskRCNN(classes)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model.train().pyramid(torch.randn(4, 3, 96, 128))
        model.score.weight *= 60
        model.box.weight *= 40
        model.mask.logits.weight *= 20
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.01 * torch.randn(len(parameter))
    return model.eval()
