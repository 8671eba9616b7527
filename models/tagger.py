"""A tagger: which letters of a text in lower case were capitals. What comes later tells, so it is bidirectional.

    h_t = g(W_hx x_t + W_hh^forward h_{t-1} + W_hh^backward h_{t+1} + b_h)
    y_t = sigm(W_yh h_t + b_y)                      P(capital | the whole text)

"Output at time t may not only depend on the previous elements, but also on future elements": of "rome" and "romeo:",
the first letters are alike.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.rnn import Bidirectional, Layer, RNNCell


class Tagger(nn.Module):
    """A recurrent layer over a text, and a tag for each of its characters.

    Args:
        characters: how many there are, C.
        layer: from (N, T, C) to features (N, T, F).
        features: F.
    """

    def __init__(self, characters: int, layer: nn.Module, features: int) -> None:
        super().__init__()
        self.characters, self.layer = characters, layer
        self.output = nn.Linear(features, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        """Args: numbers (N, T) int64. Returns: (N, T), the logits of a capital."""
        x = F.one_hot(numbers, self.characters).to(self.output.weight.dtype)
        logits: Tensor = self.output(self.layer(x))
        return logits[..., 0]


def bidirectional(characters: int, hidden: int) -> Tagger:
    """It sees what comes before and after, with H features of each direction."""
    return Tagger(characters, Bidirectional(RNNCell(characters, hidden), RNNCell(characters, hidden)), 2 * hidden)


def forward_only(characters: int, hidden: int) -> Tagger:
    """The same without the future: H features of what comes before."""
    return Tagger(characters, Layer(RNNCell(characters, hidden)), hidden)


def tag_loss(logits: Tensor, capitals: Tensor) -> Tensor:
    """The mean binary cross-entropy in nats. Args: logits (N, T); capitals (N, T) bool."""
    return F.binary_cross_entropy_with_logits(logits, capitals.to(logits.dtype))
