"""The localizer's heads, losses and guesses: against slow ones, by their gradients, and that they learn."""

import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.localizer import CELLS, Heads, Localizer, box_loss, class_loss, decode

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_box_loss_is_the_lectures_sum(rows):
    boxes, truth, classes = seeded(5, rows, 4), seeded(5, 4, seed=1), torch.tensor([0, 2, 1, 1, 0])
    wanted = 0.0
    for i in range(5):
        d = int(classes[i]) if rows > 1 else 0  # an agnostic head has one box
        for one, real in zip(boxes[i, d].tolist(), truth[i].tolist(), strict=True):
            wanted += (real - one) ** 2 / 5
    assert float(box_loss(boxes, truth, classes)) == pytest.approx(wanted)


def test_gradients_of_each_loss():
    classes = torch.tensor([0, 2, 1, 1])
    logits, boxes = seeded(4, 3).requires_grad_(), seeded(4, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: class_loss(x, classes), logits)
    assert torch.autograd.gradcheck(lambda x: box_loss(x, seeded(4, 4, seed=1), classes), boxes)
    box_loss(boxes, seeded(4, 4, seed=1), classes).backward()
    assert boxes.grad is not None
    moved = boxes.grad.abs().sum(-1) > 0
    assert moved.nonzero().tolist() == [[i, int(c)] for i, c in enumerate(classes)]  # of the true class alone


def test_a_guess_for_each_class():
    logits = torch.tensor([[2.0, 0.0]])
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.25], [0.0, 0.0, 1.0, -0.5]]])
    found, scores = decode(logits, boxes, 100)
    assert torch.allclose(found, torch.tensor([[[10.0, 20, 60, 45], [0, 0, 100, 0]]]))
    assert torch.allclose(scores[0], torch.diag(logits[0].softmax(0)))
    found, scores = decode(logits, boxes[:, :1], 100)  # one box for all classes
    assert torch.equal(found[0, 0], found[0, 1])
    assert scores.shape == (1, 2, 2)


def test_the_input_is_one_vector_of_each_head():
    model = Localizer(3, 3, EfficientNetLite0(SLIM)).eval()
    with torch.no_grad():
        assert model.features(torch.randn(2, 3, 224, 224)).shape == (2, 320, CELLS, CELLS)
        logits, boxes = model(torch.randn(2, 3, 224, 224))
    assert logits.shape == (2, 3)
    assert boxes.shape == (2, 3, 4)


def test_it_overfits_ten_pictures():
    torch.manual_seed(0)
    heads = Heads(4, 3, 3, hidden=64).eval()
    heads.classify[0].momentum = heads.locate[0].momentum = 0.2  # statistics of few steps
    maps, classes, truth = torch.randn(10, 4, CELLS, CELLS), torch.arange(10) % 3, torch.rand(10, 4)
    for head, loss in (
        (heads.classify, lambda out: class_loss(out, classes)),
        (heads.locate, lambda out: box_loss(out.unflatten(1, (-1, 4)), truth, classes)),
    ):
        head[4].p = 0.0
        optimizer = torch.optim.SGD(head.parameters(), 0.05, momentum=0.9)
        for _ in range(80):
            value = loss(head.train()(maps))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    logits, boxes = heads.eval()(maps)
    assert torch.equal(logits.argmax(1), classes)
    assert (boxes[torch.arange(10), classes] - truth).abs().max() < 0.05
