"""DeepImageSent: a photo's features are the first state of a vanilla RNN (Karpathy and Fei-Fei, 2015, section 3.2).

    b_v = W_hi CNN(I)
    h_t = ReLU(W_hx x_t + W_hh h_{t-1} + b_h + [t = 1] b_v)
    y_t = softmax(W_oh h_t + b_o)

"The CNN features are embedded to serve as initial memory state at t = 1": here the first state is h_0 = b_v, of which
h_1 has W_hh b_v, so that a step is the same whether it is the first or not.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from watchline.models.captioner import HEAD, Captioner, Seen, State, Step
from watchline.models.rnn import RNNCell


class DeepImageSent(Captioner):
    """DeepImageSent's multimodal recurrent network.

    Args:
        vocabulary: V words, the first of which stands for the end.
        embedding: E, of a word.
        hidden: H, of the RNN.
        dropout: in training.
    """

    def __init__(
        self, vocabulary: Sequence[str], embedding: int = 256, hidden: int = 384, dropout: float = 0.3
    ) -> None:
        super().__init__(vocabulary, embedding, dropout)
        self.photo = nn.Linear(HEAD, hidden)
        self.rnn = RNNCell(embedding, hidden, relu=True)
        self.output = nn.Linear(hidden, embedding)
        with torch.no_grad():
            self.rnn.h.weight.copy_(
                torch.eye(hidden)
            )  # ReLU's memory lasts from the start (Le, Jaitly and Hinton, 2015)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The arguments, from the shapes."""
        return {"embedding": state["embed.weight"].shape[1], "hidden": len(state["rnn.h.weight"])}

    def see(self, maps: Tensor) -> Seen:
        """The embedded features, (N, H)."""
        return (self.photo(self.drop(self.features(maps).mean((2, 3)))),)

    def begin(self, seen: Seen) -> State:
        """The embedded features are the state."""
        return seen

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> Step:
        """Read the word before."""
        state = self.rnn(vectors, state)
        return Step(self.output(self.drop(state[0])), state, None)
