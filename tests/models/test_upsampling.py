"""Upsampling inside a network: transposed convolution interpolates, unpooling is torch's."""

import pytest
import torch
from torch.nn import functional as F

from watchline.models.upsampling import bilinear, bilinear_kernel, max_pool, max_unpool


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("learned", [True, False])
def test_transposed_convolution_from_bilinear_weights_interpolates(factor, learned):
    x = torch.randn(2, 3, 4, 5)
    layer = bilinear(3, factor, learned)
    inside = (..., slice(factor, -factor), slice(factor, -factor))  # at the edge, what is beyond the map is 0
    expected = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    torch.testing.assert_close(layer(x)[inside], expected[inside])
    assert layer.weight.requires_grad is learned


def test_the_kernel_is_the_papers():
    """Of a factor of two: (1, 3, 3, 1) / 4 along each axis, as everybody copies it."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    torch.testing.assert_close(bilinear_kernel(2), line[:, None] * line)


@pytest.mark.parametrize("values", ["distinct", "many equal", "negative"])
def test_unpooling_is_torchs(values):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 12)
    if values == "many equal":
        x = torch.randint(0, 2, (2, 3, 8, 12)).float()
    if values == "negative":
        x = -x.abs() - 1
    maxima, indices = F.max_pool2d(x, 2, return_indices=True)
    smaller, positions = max_pool(x)
    assert torch.equal(smaller, maxima)
    assert torch.equal(positions.sum(2), torch.ones_like(smaller))
    above = torch.randn_like(smaller)
    assert torch.equal(max_unpool(above, positions), F.max_unpool2d(above, indices, 2))


def test_its_gradient_is_torchs_too():
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: max_unpool(*max_pool(x)), x)
