import numpy as np
import torch

from watchline.models import boxes as box
from watchline.ops import boxes as truth


def some(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 100
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 50], dim=-1)


def test_encode_says_what_the_papers_formula_says():
    # Centre (20, 30), 20 x 40, for an anchor at (10, 20), 10 x 10: half of it is shifted, and doubled and quadrupled.
    anchor, target = torch.tensor([[5.0, 15.0, 15.0, 25.0]]), torch.tensor([[10.0, 10.0, 30.0, 50.0]])
    expected = torch.tensor([[1.0, 1.0, np.log(2), np.log(4)]], dtype=torch.float32)
    assert torch.allclose(box.encode(target, anchor), expected)
    assert torch.allclose(box.encode(target, anchor, (10, 5)), expected * torch.tensor([10, 10, 5, 5]))


def test_apply_undoes_encode():
    targets, anchors = some(50, 0).view(5, 10, 4), some(50, 1).view(5, 10, 4)
    for weights in ((1.0, 1.0), (10.0, 5.0)):
        assert torch.allclose(box.apply(box.encode(targets, anchors, weights), anchors, weights), targets, atol=1e-3)


def test_a_wild_regressor_makes_no_infinite_box():
    boxes = box.apply(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 16.0, 16.0]]))
    assert torch.isfinite(boxes).all()
    assert torch.allclose(boxes[0, 2:] - boxes[0, :2], torch.tensor(1000.0))


def test_clip_is_the_one_of_ops():
    boxes = some(20, 2) - 30
    assert np.array_equal(box.clip(boxes, 60, 40).numpy(), truth.clip(boxes.numpy(), 60, 40))


def test_gradients_go_through():
    deltas = torch.zeros(3, 4, requires_grad=True)
    corners = box.clip(box.apply(deltas, some(3, 3)), 500, 500)
    (corners * torch.tensor([1.0, 1.0, 2.0, 2.0])).sum().backward()
    assert (deltas.grad != 0).all()
