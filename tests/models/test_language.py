"""Language models and the tagger, as loops would compute them."""

import math

import numpy as np
import pytest
import torch
from language_nets import CHARACTERS, net
from torch.nn import functional as F

from watchline.models.language import KINDS, LanguageModel, next_loss
from watchline.models.lstm import GROWTH, GrowingCell
from watchline.models.rnn import RNNCell
from watchline.models.tagger import bidirectional, forward_only, tag_loss

TEXT = torch.tensor([[3, 5, 5, 0, 8, 1, 2], [1, 1, 4, 9, 0, 7, 6]])


def sigm(x):
    return 1 / (1 + np.exp(-x))


def one_step(kind, cell, x, h, c):
    """The lecture's equations for one row, gate by gate."""
    sums = (
        cell.x.weight.detach().numpy() @ x + cell.x.bias.detach().numpy() + cell.h.weight.detach().numpy() @ h
    ).reshape(-1, len(h))
    if "rnn" in kind:
        return np.tanh(sums[0]), c
    if kind == "lstm":
        i, f, g, o = sums
        c = sigm(f) * c + sigm(i) * np.tanh(g)
        return sigm(o) * np.tanh(c), c
    g = np.tanh(sums[0])
    match kind.removeprefix("lstm-"):
        case "memory":
            c = g
        case "sum":
            c = c + g
        case "forget":
            c = sigm(sums[1]) * c + g
        case "input" | "output":
            c = sigm(sums[1]) * c + sigm(sums[2]) * g
    return (sigm(sums[3]) * c if kind == "lstm-output" else c), c


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_those_of_the_lecture_s_equations(kind):
    model = net(kind).double()
    logits, _ = model(TEXT, model.zeros(2))
    for row, numbers in enumerate(TEXT.tolist()):
        hs, cs = (np.zeros((len(model.layers), 6)) for _ in range(2))
        for t, number in enumerate(numbers):
            x = np.eye(len(CHARACTERS))[number]
            for n, layer in enumerate(model.layers):
                hs[n], cs[n] = one_step(kind, layer.cell, x, hs[n], cs[n])
                x = hs[n]
            expected = model.output.weight.detach().numpy() @ x + model.output.bias.detach().numpy()
            np.testing.assert_allclose(logits[row, t].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_read_in_pieces_is_the_same_text(kind):
    model = net(kind)
    whole, _ = model(TEXT, model.zeros(2))
    first, states = model(TEXT[:, :3], model.zeros(2))
    rest, _ = model(TEXT[:, 3:], states)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)


def test_the_first_step_to_an_lstm_is_a_vanilla_rnn_and_only_gates_add_weights():
    torch.manual_seed(0)
    grown, vanilla = GrowingCell(3, 4, "memory"), RNNCell(3, 4)
    vanilla.load_state_dict(grown.state_dict())
    x = torch.randn(2, 3)
    state = grown(x, grown.zeros(2))
    torch.testing.assert_close(grown(x, state)[0], vanilla(x, vanilla(x, vanilla.zeros(2)))[0])
    rows = {step: len(GrowingCell(3, 4, step).x.weight) for step in GROWTH}
    assert rows == {"memory": 4, "sum": 4, "forget": 8, "input": 12, "output": 16}


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_loss_is_right(kind):
    model = net(kind).double()
    x = model.one_hot(TEXT[:, :-1]).requires_grad_()
    target = TEXT[:, 1:].flatten()
    assert torch.autograd.gradcheck(
        lambda x: F.cross_entropy(model.unfold(x, model.zeros(2))[0].flatten(0, 1), target), x
    )
    loss, _ = next_loss(model, TEXT, model.zeros(2))
    by_hand = F.cross_entropy(model.unfold(x, model.zeros(2))[0].flatten(0, 1), target)
    assert loss.item() == pytest.approx(by_hand.item())


def test_the_gradient_of_the_tagger_s_loss_is_right():
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    capitals = torch.rand(2, 5) > 0.5
    assert torch.autograd.gradcheck(lambda x: tag_loss(x, capitals), logits)
    p = sigm(logits.detach().numpy())
    expected = -np.where(capitals.numpy(), np.log(p), np.log(1 - p)).mean()
    assert tag_loss(logits, capitals).item() == pytest.approx(expected)


def test_the_first_loss_is_that_of_knowing_nothing():
    torch.manual_seed(0)
    model = LanguageModel("".join(map(chr, range(32, 132))), hidden=16)
    loss, _ = next_loss(model, torch.randint(0, 100, (4, 20)), model.zeros(4))
    assert loss.item() == pytest.approx(math.log(100), rel=0.03)


@pytest.mark.parametrize("kind", ["rnn", "deep-rnn", "lstm"])
def test_it_learns_ten_texts_by_heart(kind):
    torch.manual_seed(1)
    model = LanguageModel(CHARACTERS, kind, hidden=32)
    texts = torch.randint(0, len(CHARACTERS), (10, 13))
    texts[:, 0] = torch.arange(10)  # so that what follows can be known from the beginning
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(250):
        optimizer.zero_grad()
        loss, _ = next_loss(model, texts, model.zeros(10))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_only_the_bidirectional_tagger_learns_what_the_future_tells():
    torch.manual_seed(0)
    texts = torch.randint(0, 3, (5, 8)).repeat(2, 1)  # five beginnings, each with two ends
    texts[:5, -1], texts[5:, -1] = 1, 2
    capitals = torch.zeros(10, 8, dtype=torch.bool)
    capitals[5:, -2] = True  # before each 2 at the end is a capital
    losses = {}
    for build in (bidirectional, forward_only):
        torch.manual_seed(1)
        model = build(3, 8)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
        for _ in range(150):
            optimizer.zero_grad()
            loss = tag_loss(model(texts), capitals)
            loss.backward()
            optimizer.step()
        losses[build] = loss.item()
    assert losses[bidirectional] < 0.02
    assert losses[forward_only] > 0.99 * math.log(2) / 8  # it can but guess one of eight tags
