"""Mixed precision: the gradients are right, and bfloat16 is used where it is faster."""

import pytest
import torch
from torch import nn

from watchline.train import mixed

CPU = torch.device("cpu")
LAYERS = [(3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (5, 1, 2)]  # kernel, stride, dilation


def depthwise(kernel, stride, dilation):
    return nn.Conv2d(6, 6, kernel, stride, dilation * (kernel // 2), dilation, groups=6, bias=False)


def gradients(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    y.float().square().sum().backward()
    return y.float(), x.grad, layer.weight.grad


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_of_depthwise_convolutions_are_those_of_torch(layer):
    torch.manual_seed(0)
    conv = depthwise(*layer)
    x = torch.randn(2, 6, 11, 13)
    expected = gradients(conv, x)
    conv.weight.grad = None
    conv.__class__ = mixed.Depthwise
    for found, right in zip(gradients(conv, x), expected, strict=True):
        torch.testing.assert_close(found, right)
    conv.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        half = gradients(conv, x)
    assert half[1].dtype == half[2].dtype == torch.float32
    for found, right in zip(half, expected, strict=True):
        assert (found - right).abs().max() < 0.03 * right.abs().max()


def test_what_has_no_matrix_units_computes_in_float32(monkeypatch):
    for units in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda units=units: units)
        model = nn.Sequential(depthwise(3, 1, 1), nn.Conv2d(6, 6, 1))
        mixed.quick(model, CPU)
        assert isinstance(model[0], mixed.Depthwise) == units
        assert not isinstance(model[1], mixed.Depthwise)
        with mixed.autocast(CPU):
            assert model(torch.randn(1, 6, 8, 8)).dtype == (torch.bfloat16 if units else torch.float32)
