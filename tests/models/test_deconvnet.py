"""DeconvNet: the mirror of its encoder, unpooled with the encoder's positions."""

import torch
from small_nets import learn, scenes
from torch import nn
from torch.nn import functional as F

from watchline.models.deconvnet import STAGES, DeconvNet


def test_it_is_the_papers_in_numbers():
    with torch.device("meta"):
        model = DeconvNet(21)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 252  # millions: table 2 of the paper
    encoder = [m.out_channels for m in model.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert encoder == [64 * times for stage in STAGES for times in stage]
    decoder = [m.out_channels for stage in reversed(model.decoder) for m in stage if isinstance(m, nn.ConvTranspose2d)]
    assert decoder == [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 64]


def test_it_is_what_torchs_pooling_and_unpooling_make_of_it():
    torch.manual_seed(0)
    model = DeconvNet(5, width=2, hidden=8, window=2).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        x, indices = images, []
        for stage in model.encoder:
            x, where = F.max_pool2d(stage(x), 2, return_indices=True)
            indices.append(where)
        x = model.middle(x)
        for stage, where in zip(reversed(model.decoder), reversed(indices), strict=True):
            x = stage(F.max_unpool2d(x, where, 2))
        logits = model(images)
        torch.testing.assert_close(logits, model.score(x))
    assert logits.shape == (2, 5, 64, 96)


def test_it_overfits_ten_pictures():
    torch.manual_seed(0)
    model = DeconvNet(3, width=16, hidden=64, window=1)  # a thinner one learns what the seed and the CPU make of it
    assert learn(model, *scenes(10, 32), steps=50, rate=5e-3) > 0.95
