"""Recurrent neural networks: the vanilla cell, and what any cell becomes: a layer, a bidirectional one, a deep network.

"The past is always embedded in a fixed-size feature": each step has the same weights, and the state is all that it
knows of the past. Training unfolds the steps, and the gradient goes back through all of them (backpropagation through
time), which autograd does by itself.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
"""What a cell keeps: tensors (N, H), the first of which is h_t."""


class Cell(Protocol):
    """One step of a recurrent network: `RNNCell`, or `LSTMCell`."""

    def __call__(self, x: Tensor, state: State, /) -> State:
        """The state after x (N, inputs)."""

    def zeros(self, count: int) -> State:
        """The first state of `count` sequences."""


class RNNCell(nn.Module):
    """One step of a vanilla RNN: h_t = g(W_hx x_t + W_hh h_{t-1} + b_h).

    Args:
        inputs: length of x_t.
        hidden: H, length of h_t.
        relu: g is ReLU, as in DeepImageSent; else tanh.
    """

    def __init__(self, inputs: int, hidden: int, relu: bool = False) -> None:
        super().__init__()
        self.hidden, self.relu = hidden, relu
        self.x = nn.Linear(inputs, hidden)
        self.h = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, state: State) -> State:
        """Args: x (N, inputs); the state before. Returns: the state after."""
        total = self.x(x) + self.h(state[0])
        return (torch.relu(total) if self.relu else torch.tanh(total),)

    def zeros(self, count: int) -> State:
        """The first state: "set the first feature as a zero tensor"."""
        return (self.x.weight.new_zeros(count, self.hidden),)


class Layer(nn.Module):
    """A cell over whole sequences, unfolded.

    Args:
        cell: of any kind.
        backward: from the last input to the first: h_t depends on h_{t+1} and the inputs from t on.
    """

    def __init__(self, cell: Cell, backward: bool = False) -> None:
        super().__init__()
        self.cell, self.backward = cell, backward

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, T, inputs). Returns: h of each step, (N, T, H)."""
        return self.unfold(x, self.cell.zeros(len(x)))[0]

    def unfold(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Args: x (N, T, inputs); the state before. Returns: h of each step, (N, T, H); the state after the last."""
        features = []
        steps = range(x.shape[1])
        for t in reversed(steps) if self.backward else steps:
            state = self.cell(x[:, t], state)
            features.append(state[0])
        return torch.stack(features[::-1] if self.backward else features, 1), state


class Bidirectional(nn.Module):
    """Outputs depend on earlier elements and on future ones.

        h_t = g(W_hx x_t + W_hh^forward h_{t-1} + W_hh^backward h_{t+1} + b_h)

    As h_{t-1} and h_{t+1} cannot both come first, the state has two halves, one of each direction (Schuster and
    Paliwal, 1997). The next layer reads both.

    Args:
        forward, backward: a cell for each direction.
    """

    def __init__(self, forward: Cell, backward: Cell) -> None:
        super().__init__()
        self.onward, self.back = Layer(forward), Layer(backward, backward=True)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, T, inputs). Returns: (N, T, 2 H), the half of the forward direction first."""
        return torch.cat([self.onward(x), self.back(x)], 2)


class Deep(nn.Module):
    """Several layers per time step, a hierarchy of features: the states of a layer are the inputs of the next.

    Args:
        layers: `Layer` or `Bidirectional`, from the inputs on.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, T, inputs). Returns: the states of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x
