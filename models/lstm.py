"""Long short-term memory, gate by gate (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

A vanilla RNN forgets: its gradient shrinks or grows with each step. An LSTM keeps a memory cell beside its state, with
gates that say what to write, what to keep and what to read.
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
