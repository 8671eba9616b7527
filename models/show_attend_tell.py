"""Show, Attend and Tell: an LSTM that looks at the photo anew for each word (Xu et al., 2015), with soft attention.

The annotation vectors a_1 .. a_Q are the features of Q places of the photo. Before each word, a small network compares
each place with the state, and the softmax of it weighs the places (paper, section 3.1.2, equations 4 to 13):

    e_ti = v . tanh(W_a a_i + W_h h_{t-1})
    alpha_t = softmax(e_t)
    beta_t = sigm(f_beta(h_{t-1}))                    how much this word needs the photo
    z_t = beta_t * sum_i alpha_ti a_i                 the context
    h_t, c_t = LSTM([E y_{t-1}; z_t], h_{t-1}, c_{t-1})
    p(y_t) ~ exp(L_o (E y_{t-1} + L_h h_t + L_z z_t))

L_o is E here: one matrix reads and writes words.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.captioner import HEAD, Captioner, Seen, State, Step
from watchline.models.lstm import LSTMCell


class ShowAttendTell(Captioner):
    """Show, Attend and Tell.

    Args:
        vocabulary: V words, the first of which stands for the end.
        embedding: E, of a word.
        places: D, length of a place's annotation vector.
        hidden: H, of the LSTM.
        attention: width of the network that compares places and state.
        dropout: in training.
    """

    looks = True

    def __init__(
        self,
        vocabulary: Sequence[str],
        embedding: int = 256,
        places: int = 320,
        hidden: int = 384,
        attention: int = 192,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(vocabulary, embedding, dropout)
        self.places = nn.Linear(HEAD, places)
        self.first_h, self.first_c = nn.Linear(places, hidden), nn.Linear(places, hidden)
        self.key, self.query = nn.Linear(places, attention), nn.Linear(hidden, attention, bias=False)
        self.energy = nn.Linear(attention, 1, bias=False)
        self.beta = nn.Linear(hidden, 1)
        self.lstm = LSTMCell(embedding + places, hidden)
        self.from_h, self.from_z = nn.Linear(hidden, embedding), nn.Linear(places, embedding, bias=False)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The arguments, from the shapes."""
        return {
            "embedding": state["embed.weight"].shape[1],
            "places": len(state["places.weight"]),
            "hidden": state["lstm.h.weight"].shape[1],
            "attention": len(state["key.weight"]),
        }

    def see(self, maps: Tensor) -> Seen:
        """The annotation vectors (N, Q, D), and the part of the comparison that is the same for all words (N, Q, A)."""
        a = F.relu(self.places(self.features(maps).flatten(2).transpose(1, 2)))
        a = F.dropout(a, min(0.2, self.drop.p), self.training)
        return a, self.key(a)

    def begin(self, seen: Seen) -> State:
        """h and c from the mean annotation vector."""
        mean = seen[0].mean(1)
        return torch.tanh(self.first_h(mean)), torch.tanh(self.first_c(mean))

    def look(self, h: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
        """The context z_t (N, D), and alpha_t (N, Q)."""
        a, keys = seen
        energy = self.energy(torch.tanh(keys + self.query(h)[:, None]))[..., 0]
        alpha = energy.softmax(1)
        return torch.sigmoid(self.beta(h)) * (alpha[:, None] @ a)[:, 0], alpha

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> Step:
        """Look, then read the word before."""
        z, alpha = self.look(state[0], seen)
        h, c = self.lstm(torch.cat([vectors, z], 1), (state[0], state[1]))
        return Step(vectors + self.from_h(self.drop(h)) + self.from_z(z), (h, c), alpha)
