"""FCN on VGG-16: convolutional fully connected layers, skips, and that each finer net goes on from the coarser one."""

import pytest
import torch
from small_nets import learn, scenes, thin_vgg
from torch import nn

from watchline.models.fcn import FCN, convolutional


def with_scores(model):
    """With scoring layers as after training."""
    torch.manual_seed(1)
    for layer in (model.score, *model.skips):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return model.eval()


def test_a_fully_connected_layer_is_a_convolution():
    linear = nn.Linear(4 * 7 * 7, 5)
    patch = torch.randn(2, 4, 7, 7)
    middle = convolutional(linear, 7)(patch)[..., 3, 3]
    torch.testing.assert_close(middle, linear(patch.flatten(1)))


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_scores_are_zero_at_first_and_of_the_pictures_size(stride):
    logits = FCN(5, stride, thin_vgg())(torch.randn(2, 3, 64, 96))
    assert logits.shape == (2, 5, 64, 96)
    assert not logits.any()


def test_another_stride_is_refused():
    with pytest.raises(ValueError, match="stride 4: expected one of"):
        FCN(5, 4, thin_vgg())


def test_a_finer_net_begins_with_the_coarser_ones_predictions():
    x = torch.randn(1, 3, 128, 160)
    with torch.no_grad():
        coarse = with_scores(FCN(4, 32, thin_vgg()))
        before = coarse(x)
        for stride in (16, 8):
            coarse = FCN.from_coarser(coarse)
            assert coarse.stride == stride
            after = coarse(x)
            # interpolating twice is nearly interpolating once
            assert (after - before)[..., 32:-32, 32:-32].abs().max() < 0.2 * before.abs().max()
    with pytest.raises(ValueError, match="FCN-8s is the finest"):
        FCN.from_coarser(coarse)


def test_skips_add_what_is_in_finer_maps():
    """A change of pool3's scores moves predictions, in pieces of 8 pixels; FCN-32s has no such layer."""
    model = with_scores(FCN(2, 8, thin_vgg()))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        model.skips[1].bias += 1.0
        torch.testing.assert_close((model(x) - before)[..., 8:-8, 8:-8], torch.ones(1, 2, 48, 48))
    assert len(FCN(2, 32, thin_vgg()).skips) == 0


def test_the_last_layer_keeps_bilinear_weights_and_the_others_learn():
    model = FCN(3, 8, thin_vgg())
    assert not model.last.weight.requires_grad
    assert all(layer.weight.requires_grad for layer in model.twice)
    with_scores(model)(torch.randn(1, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_it_overfits_ten_pictures():
    torch.manual_seed(0)
    model = FCN(3, 8, thin_vgg(share=8)).eval()  # without dropout
    assert learn(model, *scenes(10, 32), steps=60, rate=3e-3) > 0.9
