"""Show and Tell: a photo's features are the first input of an LSTM, before the first word (Vinyals et al., 2015).

    x_{-1} = CNN(I)                 embedded in the space of the words
    x_t = W_e S_t                   the word's vector
    p_{t+1} = softmax(LSTM(x_t))

The photo is seen once: "the CNN features are used as input at t = -1".
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from watchline.models.captioner import HEAD, Captioner, Seen, State, Step
from watchline.models.lstm import LSTMCell


class ShowAndTell(Captioner):
    """Show and Tell.

    Args:
        vocabulary: V words, the first of which stands for the end.
        embedding: E, of a word, and of the photo.
        hidden: H, of the LSTM.
        dropout: in training.
    """

    def __init__(
        self, vocabulary: Sequence[str], embedding: int = 256, hidden: int = 384, dropout: float = 0.3
    ) -> None:
        super().__init__(vocabulary, embedding, dropout)
        self.photo, self.norm = nn.Linear(HEAD, embedding), nn.LayerNorm(embedding)
        self.lstm = LSTMCell(embedding, hidden)
        self.output = nn.Linear(hidden, embedding)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The arguments, from the shapes."""
        return {"embedding": len(state["photo.weight"]), "hidden": state["lstm.h.weight"].shape[1]}

    def see(self, maps: Tensor) -> Seen:
        """The mean of the features, in the space of the words: (N, E).

        It is seen once and has to be heard by all later steps, so it is made as large as an LSTM's input should be.
        """
        return (self.norm(self.photo(self.drop(self.features(maps).mean((2, 3))))),)

    def begin(self, seen: Seen) -> State:
        """The state after t = -1, when the photo was the input."""
        (photo,) = seen
        state: State = self.lstm(photo, self.lstm.zeros(len(photo)))
        return state

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> Step:
        """Read the word before."""
        state = self.lstm(vectors, state)
        return Step(self.output(self.drop(state[0])), state, None)
