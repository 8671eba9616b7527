"""OverFeat: one pass equals window after window, and where its candidates are."""

import copy

import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.localizer import box_loss, class_loss
from watchline.models.overfeat import AFTER, BEFORE, FIELD, SIDES, STRIDE, WINDOW, OverFeat, candidates, framed

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = OverFeat(3, EfficientNetLite0(SLIM))
    lively(made, lambda: made.window(torch.randn(2, 3, FIELD, FIELD)))
    return made


def lively(network, run):
    """Give it statistics of noise, so that nothing vanishes on the way."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()
        run()
    network.eval()


def test_one_pass_is_every_window(model):
    x = torch.randn(1, 3, FIELD + 2 * STRIDE, FIELD + STRIDE)
    with torch.no_grad():
        logits, boxes = model.windows(x)
        assert logits.shape == (1, 4, 3, 2)
        assert boxes.shape == (1, 3, 4, 3, 2)
        assert logits.std() > 1e-2
        for row in range(3):
            for column in range(2):
                field = x[..., STRIDE * row : STRIDE * row + FIELD, STRIDE * column : STRIDE * column + FIELD]
                alone, its = model.window(field)
                assert (alone[0] - logits[0, :, row, column]).abs().max() < 1e-5
                assert (its[0] - boxes[0, ..., row, column]).abs().max() < 1e-5


def test_a_window_is_the_middle_of_its_field():
    assert BEFORE + WINDOW + AFTER == FIELD
    x = torch.ones(1, 3, 50, 50)
    for side in SIDES:
        assert (side - WINDOW) % STRIDE == 0  # the last window ends at the picture's edge
        y = framed(x, side)
        assert y.shape == (1, 3, side + BEFORE + AFTER, side + BEFORE + AFTER)
        assert (y[0, 0] == 1).nonzero().aminmax() == (BEFORE, BEFORE + side - 1)
        assert y[0, 0, 0, 0] == normalise(torch.tensor(114))


def test_candidates_by_hand():
    logits = torch.full((1, 3, 1, 2), -9.0)
    logits[0, 1, 0, 0] = logits[0, 2, 0, 1] = logits[0, 0, 0, 1] = 9.0  # class 0; class 1 or background
    boxes = torch.zeros(1, 2, 4, 1, 2)
    boxes[0, 0, :, 0, 0] = torch.tensor([0.25, 0.5, 0.5, 0.25])
    boxes[0, 1, :, 0, 1] = torch.tensor([0.0, 0.0, 1.0, -1.0])
    found, scores = candidates(logits, boxes, zoom=2.0)
    assert found[0].tolist() == [[96, 192, 288, 288], [32, 0, 32 + 384, 0]]  # the second window begins 16 pixels on
    assert scores[0].flatten().tolist() == pytest.approx([1, 0, 0, 0.5], abs=1e-4)


def test_all_scales_give_candidates_over_the_picture(model):
    with torch.no_grad():
        boxes, scores = model(torch.rand(2, 3, 96, 96) * 255)
    count = sum(((side - WINDOW) // STRIDE + 1) ** 2 for side in SIDES)
    assert boxes.shape == (2, count, 4)
    assert scores.shape == (2, count, 3)
    assert ((scores > 0).sum(-1) == 1).all()
    assert (scores.sum(-1) < 1).all()


def test_the_trunk_is_the_backbones_within_a_picture():
    """Far from the edges, where padding does not reach, the backbone computes the same."""
    backbone, x = EfficientNetLite0(SLIM), torch.randn(1, 3, 400, 400)
    lively(backbone, lambda: backbone(x))
    # An output's field is 339 pixels, so the first one's centre is pixel 169; the backbone's centres are at 16 * i.
    with torch.no_grad():
        fine = backbone(x)[1]
        mine = OverFeat(3, copy.deepcopy(backbone)).eval().features(x[..., 7:, 7:])
    assert mine.shape[-1] == 4
    assert torch.allclose(mine, fine[..., 11:15, 11:15], atol=1e-5)
    assert mine.std() > 1e-3


def test_it_overfits_ten_windows(model):
    torch.manual_seed(0)
    x = torch.randn(10, 3, FIELD, FIELD)
    labels, truth = torch.arange(10) % 4, torch.rand(10, 4)
    with torch.no_grad():
        maps = model.features(x)
    heads = model.heads
    for head, loss in (
        (heads.classify, lambda out: class_loss(out, labels)),
        (heads.locate, lambda out: box_loss(out.unflatten(1, (-1, 4)), truth, labels % 3)),
    ):
        head[0].momentum, head[4].p = 0.2, 0.0
        optimizer = torch.optim.SGD(head.parameters(), 0.02, momentum=0.9)
        for _ in range(60):
            value = loss(head.train()(maps))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    with torch.no_grad():
        logits, boxes = model.eval().windows(x)
    assert torch.equal(logits.flatten(1).argmax(1), labels)
    assert (boxes[torch.arange(10), labels % 3].flatten(1) - truth).abs().max() < 0.05
