"""FCN-Lite: strides, sizes, and that it learns."""

import pytest
import torch
from small_nets import learn, scenes

from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.fcn_lite import KEPT, STRIDE_16, FCNLite

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


def test_it_keeps_stride_16_and_gives_the_pictures_size():
    model = FCNLite(5, KEPT, EfficientNetLite0(SLIM)).eval()
    with torch.no_grad():
        edges, finest = model.early(torch.randn(1, 3, 64, 96))
        assert edges.shape[-2:] == (32, 48)
        assert finest.shape[-2:] == (16, 24)
        x = finest
        for block in model.blocks[3:]:
            x = block(x)
        assert x.shape[-2:] == (4, 6)
        assert model.scored(edges, finest).shape == (1, 5, 32, 48)
        assert model(torch.randn(2, 3, 64, 96)).shape == (2, 5, 64, 96)


def test_what_is_kept_of_the_backbone_is_small():
    model = FCNLite(11)
    assert len(model.blocks) == KEPT > STRIDE_16
    assert sum(p.numel() for p in model.parameters()) < 2.5e6  # 5 MB in FP16


@pytest.mark.parametrize(
    "part",
    [
        "blocks.12",
        "context.gate",
        "fine",
        "finest",
        "edges",
        "to_edges",
        "mix_edges",
        "scores.0",
        "scores.1",
        "scores.3",
    ],
)
def test_every_part_learns(part):
    model = FCNLite(3, KEPT, EfficientNetLite0(SLIM))
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert any(p.grad.any() for p in model.get_submodule(part).parameters())


def test_pixels_are_as_the_backbone_was_trained():
    assert normalise(torch.tensor([0, 127, 255], dtype=torch.uint8)).tolist() == [-127 / 128, 0.0, 1.0]


def test_it_overfits_ten_pictures():
    torch.manual_seed(0)
    model = FCNLite(3, KEPT, EfficientNetLite0(SLIM))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.2  # statistics of few steps
    assert learn(model, *scenes(10, 32), steps=25, rate=1e-2) > 0.94
