"""Language models of characters: what comes next, given all that came before.

    h_t = g(W_hx x_t + W_hh h_{t-1} + b_h)          or another cell, in one layer or three
    y_t = softmax(W_yh h_t + b_y)                   P(next character | this one and the past)

x_t is the character's one-hot vector, as in Karpathy's "The Unreasonable Effectiveness of Recurrent Neural Networks"
(2015). A bidirectional network sees the character that it should predict, so it cannot be one of these; it can tag
(`tagger.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.lstm import GROWTH, GrowingCell, LSTMCell
from watchline.models.rnn import Layer, RNNCell, State


@dataclass(frozen=True)
class Kind:
    """Attributes: cell, makes one of (inputs, hidden); layers."""

    cell: Callable[[int, int], RNNCell | LSTMCell | GrowingCell]
    layers: int = 1


KINDS = {
    "rnn": Kind(RNNCell),
    "deep-rnn": Kind(RNNCell, layers=3),
    "lstm": Kind(LSTMCell),
    **{f"lstm-{step}": Kind(partial(GrowingCell, step=step)) for step in GROWTH},
}


class LanguageModel(nn.Module):
    """A recurrent network that reads characters and says what comes next.

    Args:
        characters: all C that it knows; a character's number is its place.
        kind: a key of KINDS.
        hidden: H, length of a layer's features.
        dropout: share of the last features that are zero in training.
    """

    letters: Tensor

    def __init__(self, characters: str, kind: str = "lstm", hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        # a checkpoint has the characters among its tensors, so they can be neither lost nor mistaken
        self.register_buffer("letters", torch.tensor([ord(character) for character in characters]))
        make, layers = KINDS[kind].cell, KINDS[kind].layers
        cells = [make(inputs, hidden) for inputs in [len(characters)] + [hidden] * (layers - 1)]
        nn.init.uniform_(cells[0].x.weight, -1, 1)  # of all inputs, only one is not zero
        self.layers = nn.ModuleList(map(Layer, cells))
        self.output = nn.Linear(hidden, len(characters))
        self.drop = nn.Dropout(dropout)

    @property
    def characters(self) -> str:
        """What it knows, by number."""
        return "".join(map(chr, self.letters.tolist()))

    def zeros(self, count: int) -> list[State]:
        """The state of each layer before the first character of `count` sequences."""
        return [layer.cell.zeros(count) for layer in cast(list[Layer], self.layers)]

    def forward(self, numbers: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Args: numbers (N, T) int64; the states before. Returns: what `unfold` does."""
        return self.unfold(self.one_hot(numbers), states)

    def one_hot(self, numbers: Tensor) -> Tensor:
        """(N, …) int64 -> (N, …, C) float."""
        return F.one_hot(numbers, len(self.letters)).to(self.output.weight.dtype)

    def unfold(self, x: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Args: x (N, T, C); the states before.

        Returns:
            (N, T, C), the logits of the character after each; the states after the last.
        """
        after = []
        for layer, state in zip(cast(list[Layer], self.layers), states, strict=True):
            x, state = layer.unfold(x, state)
            after.append(state)
        return self.output(self.drop(x)), after


def next_loss(model: LanguageModel, numbers: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
    """The mean of -log P(next character) over N sequences.

    Args:
        numbers: (N, T + 1) int64; each but the first is what comes after the one before it.
        states: before the first.

    Returns:
        the loss in nats; the states after T steps.
    """
    logits, after = model(numbers[:, :-1], states)
    return F.cross_entropy(logits.flatten(0, 1), numbers[:, 1:].flatten()), after
