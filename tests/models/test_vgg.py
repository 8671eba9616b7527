import pytest
import torch

from watchline.models.errors import CheckpointError
from watchline.models.vgg import VGG16

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def torchvision_s(classifier):
    """A state dict with the names and shapes of torchvision's vgg16, its convolutions seeded, the rest zeros."""
    generator = torch.Generator().manual_seed(0)
    channels = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    state = {}
    for number, inputs, outputs in zip(CONVOLUTIONS, channels[:-1], channels[1:], strict=True):
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{number}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        state[f"features.{number}.bias"] = torch.randn(outputs, generator=generator) * 0.01
    for number, outputs, inputs in classifier:
        state[f"classifier.{number}.weight"] = torch.zeros(1, 1).expand(outputs, inputs)  # a gigabyte in four bytes
        state[f"classifier.{number}.bias"] = torch.zeros(outputs)
    return state


FULL = ((0, 4096, 25088), (3, 4096, 4096), (6, 1000, 4096))


def test_torchvision_s_weights_fill_the_whole_trunk():
    state = torchvision_s(FULL)
    trunk = VGG16.pretrained(state, "vgg16.pth")
    assert not any(p.is_meta for p in trunk.parameters())
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, state[name]), name
    x = torch.randn(1, 3, 48, 32, generator=torch.Generator().manual_seed(1))
    expected = x
    for i in range(30):  # configuration D, layer by layer; the fifth pooling, features.30, is left out
        if i in CONVOLUTIONS:
            layer = state[f"features.{i}.weight"], state[f"features.{i}.bias"]
            expected = torch.nn.functional.conv2d(expected, *layer, padding=1)
        elif i in (4, 9, 16, 23):
            expected = torch.nn.functional.max_pool2d(expected, 2)
        else:
            expected = expected.relu()
    with torch.no_grad():
        features = trunk.features(x)
    assert features.shape == (1, 512, 3, 2)
    assert torch.allclose(features, expected, atol=1e-5)
    assert features.std() > 0.01


def test_the_last_layer_may_be_missing():
    assert VGG16.pretrained(torchvision_s(FULL[:2]), "trunk.pth").width == 4096


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("features.28.weight"), "features.28.weight is missing, 1 differ"),
        (lambda s: s.pop("classifier.0.weight"), "classifier.0.weight is missing"),
        (
            lambda s: s.update({"features.0.weight": torch.zeros(64, 1, 3, 3)}),
            r"features.0.weight has the shape \(64, 1",
        ),
        (lambda s: s.update({"features.1.running_mean": torch.zeros(64)}), "features.1.running_mean is unknown"),
    ],
)
def test_another_network_is_refused_by_its_first_difference(change, words):
    state = torchvision_s(FULL)
    change(state)
    with pytest.raises(
        CheckpointError, match=rf"other\.pth is not VGG-16: {words}.*expected a state dict of torchvision"
    ):
        VGG16.pretrained(state, "other.pth")


def test_normalising_makes_imagenet_s_mean_nothing_and_its_deviation_one():
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    deviation = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    trunk = VGG16(hidden=8)
    assert torch.allclose(trunk.normalise(mean), torch.zeros(1, 3, 1, 1), atol=1e-5)
    assert torch.allclose(trunk.normalise(mean + deviation), torch.ones(1, 3, 1, 1), atol=1e-5)
    pad = torch.tensor(trunk.pad).view(1, 3, 1, 1)
    assert trunk.normalise(pad).abs().max() < 0.01


def test_the_early_layers_are_conv1_and_conv2():
    early = [p for layer in VGG16(hidden=8).early() for p in layer.parameters()]
    assert [p.shape[0] for p in early if p.ndim == 4] == [64, 64, 128, 128]
