"""Long short-term memory, gate by gate (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

A vanilla RNN forgets: its gradient shrinks or grows with each step. An LSTM keeps a memory cell beside its state, with
gates that say what to write, what to keep and what to read. `GrowingCell` is what the lecture shows on the way there.
"""

import torch
from torch import Tensor, nn

from watchline.models.rnn import State


class LSTMCell(nn.Module):
    """One step of an LSTM.

        i_t = sigm(W_ix x_t + W_ih h_{t-1} + b_i)     input gate: ignore some of the update
        f_t = sigm(W_fx x_t + W_fh h_{t-1} + b_f)     forget gate: forget some of the memory
        g_t = tanh(W_cx x_t + W_ch h_{t-1} + b_c)     input modulation gate: the update
        o_t = sigm(W_ox x_t + W_oh h_{t-1} + b_o)     output gate: weight the memory for the feature
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    The lecture leaves out the last tanh ("there are many variants, but this is the general idea"). `x` and `h` hold the
    four matrices one below the other, in the order i, f, g, o, as torch.nn.LSTM does.

    Args:
        inputs: length of x_t.
        hidden: H, length of h_t and c_t.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.x = nn.Linear(inputs, 4 * hidden)
        self.h = nn.Linear(hidden, 4 * hidden, bias=False)
        with torch.no_grad():
            self.x.bias[hidden : 2 * hidden] = 1  # remember at first (Gers et al.; Jozefowicz et al., 2015)

    def forward(self, x: Tensor, state: State) -> State:
        """Args: x (N, inputs); the state before: h and c, each (N, H). Returns: the state after."""
        h, c = state
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def zeros(self, count: int) -> State:
        """The first state of `count` sequences: "set the first feature as a zero tensor"."""
        h = self.x.weight.new_zeros(count, self.hidden)
        return h, h


GROWTH = {"memory": "", "sum": "", "forget": "f", "input": "fi", "output": "fio"}
"""The lecture's steps from a vanilla RNN to an LSTM, and the gates that each has."""


class GrowingCell(nn.Module):
    """The LSTM as far as the lecture has built it.

        g_t = tanh(W_cx x_t + W_ch h_{t-1} + b_c)
        memory   c_t = g_t,                       h_t = c_t    a vanilla RNN, whose state is called memory
        sum      c_t = c_{t-1} + g_t,             h_t = c_t    it keeps track of long term
        forget   c_t = f_t * c_{t-1} + g_t,       h_t = c_t    but can forget some of its memories
        input    c_t = f_t * c_{t-1} + i_t * g_t, h_t = c_t    and ignore some of the update
        output   c_t = f_t * c_{t-1} + i_t * g_t, h_t = o_t * c_t

    A gate that is not there yet lets all through; only in the first step, nothing of the memory stays.

    Args:
        inputs: length of x_t.
        hidden: H, length of h_t and c_t.
        step: a key of GROWTH.
    """

    def __init__(self, inputs: int, hidden: int, step: str) -> None:
        super().__init__()
        self.hidden, self.gates = hidden, GROWTH[step]
        self.kept = 0.0 if step == "memory" else 1.0
        rows = (1 + len(self.gates)) * hidden
        self.x = nn.Linear(inputs, rows)
        self.h = nn.Linear(hidden, rows, bias=False)
        with torch.no_grad():
            self.x.bias[hidden : 2 * hidden] = 1  # f, as in LSTMCell; without gates, nothing is there

    def forward(self, x: Tensor, state: State) -> State:
        """Args: x (N, inputs); the state before: h and c, each (N, H). Returns: the state after."""
        h, c = state
        update, *sums = (self.x(x) + self.h(h)).split(self.hidden, 1)
        gates = {name: torch.sigmoid(value) for name, value in zip(self.gates, sums, strict=True)}
        c = gates.get("f", self.kept) * c + gates.get("i", 1.0) * torch.tanh(update)
        return gates.get("o", 1.0) * c, c

    def zeros(self, count: int) -> State:
        """The first state of `count` sequences."""
        h = self.x.weight.new_zeros(count, self.hidden)
        return h, h
