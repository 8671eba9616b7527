"""Losses of class maps: their gradients, their values at the ends, and void pixels."""

import math

import pytest
import torch
from torch.nn import functional as F

from watchline.models.pixel_loss import VOID, cross_entropy, jaccard_steps, lovasz_softmax

LOSSES = [cross_entropy, lovasz_softmax, lambda x, y: cross_entropy(x, y, torch.tensor([1.0, 3.0, 0.5]).to(x))]
NAMES = ["entropy", "lovasz", "weighted"]


def pair(void=True):
    torch.manual_seed(0)
    classes = torch.randint(0, 3, (2, 4, 5))
    if void:
        classes[:, 0] = VOID
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True), classes


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_gradients_are_right(loss):
    logits, classes = pair()
    assert torch.autograd.gradcheck(lambda x: loss(x, classes), logits)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_void_has_no_gradient(loss):
    logits, classes = pair()
    loss(logits, classes).backward()
    assert not logits.grad[:, :, 0].any()
    assert logits.grad[:, :, 1:].any()
    assert float(loss(logits.detach(), torch.full_like(classes, VOID))) == 0


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_what_is_right_costs_nothing(loss):
    _, classes = pair(void=False)
    sure = 50.0 * F.one_hot(classes, 3).permute(0, 3, 1, 2).double()
    assert float(loss(sure, classes)) < 1e-6
    assert float(loss(-sure, classes)) > 0.9


def test_cross_entropy_begins_at_the_logarithm_of_the_classes():
    _, classes = pair()
    assert float(cross_entropy(torch.zeros(2, 3, 4, 5), classes)) == pytest.approx(math.log(3))


def test_lovasz_of_hard_mistakes_is_one_minus_iou():
    """The extension agrees with the set function where errors are 0 or 1."""
    torch.manual_seed(1)
    truth = torch.randint(0, 2, (1, 6, 6))
    found = torch.randint(0, 2, (1, 6, 6))
    sure = 60.0 * F.one_hot(found, 2).permute(0, 3, 1, 2).double()
    expected = [1 - float(((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum()) for c in (0, 1)]
    assert float(lovasz_softmax(sure, truth)) == pytest.approx(sum(expected) / 2)


def test_steps_add_up_to_one():
    truth = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    steps = jaccard_steps(truth)
    torch.testing.assert_close(steps.sum(1), torch.ones(2))
    torch.testing.assert_close(steps[0], torch.tensor([0.5, 1 / 6, 1 / 3, 0.0]))
