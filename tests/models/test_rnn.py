"""Cells and layers, equal to torch's own on the same weights."""

import pytest
import torch

from watchline.models.lstm import LSTMCell
from watchline.models.rnn import Bidirectional, Deep, Layer, RNNCell

INPUTS, HIDDEN = 3, 4


def give(cell, theirs, suffix):
    """Our cell the weights of a layer of torch's."""
    with torch.no_grad():
        cell.x.weight.copy_(getattr(theirs, f"weight_ih_{suffix}"))
        cell.h.weight.copy_(getattr(theirs, f"weight_hh_{suffix}"))
        cell.x.bias.copy_(getattr(theirs, f"bias_ih_{suffix}") + getattr(theirs, f"bias_hh_{suffix}"))


KINDS = {
    "vanilla": (RNNCell, torch.nn.RNN, {}),
    "relu": (lambda i, h: RNNCell(i, h, relu=True), torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (LSTMCell, torch.nn.LSTM, {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("directions", [1, 2])
def test_a_deep_network_is_torch_s(kind, directions):
    torch.manual_seed(0)
    ours, theirs, more = KINDS[kind]
    theirs = theirs(INPUTS, HIDDEN, 2, batch_first=True, bidirectional=directions == 2, **more)
    layers = []
    for layer, inputs in enumerate([INPUTS, directions * HIDDEN]):
        cells = [ours(inputs, HIDDEN) for _ in range(directions)]
        for cell, suffix in zip(cells, (f"l{layer}", f"l{layer}_reverse"), strict=False):
            give(cell, theirs, suffix)
        layers.append(Bidirectional(*cells) if directions == 2 else Layer(*cells))
    x = torch.randn(2, 5, INPUTS)
    torch.testing.assert_close(Deep(layers)(x), theirs(x)[0])


@pytest.mark.parametrize("cell", [RNNCell(INPUTS, HIDDEN), LSTMCell(INPUTS, HIDDEN)])
def test_the_gradient_through_time_is_right(cell):
    x = torch.randn(2, 4, INPUTS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Layer(cell).double(), x)


def test_a_forward_layer_does_not_see_the_future_and_a_bidirectional_one_does():
    x = torch.randn(1, 4, INPUTS)
    changed = x.clone()
    changed[:, -1] += 1
    forward = Layer(LSTMCell(INPUTS, HIDDEN))
    both = Bidirectional(LSTMCell(INPUTS, HIDDEN), LSTMCell(INPUTS, HIDDEN))
    assert torch.equal(forward(x)[:, :-1], forward(changed)[:, :-1])
    assert not torch.equal(both(x)[:, 0], both(changed)[:, 0])


def test_an_lstm_remembers_at_first():
    cell = LSTMCell(INPUTS, HIDDEN)
    assert (cell.x.bias[HIDDEN : 2 * HIDDEN] == 1).all()
    assert all((tensor == 0).all() for tensor in cell.zeros(2))
