"""What all captioners share: a photo's features become a state, and a word and a state become the next word.

The lecture's three systems differ in where the features enter: as the first state (`deep_image_sent.py`), as the first
input (`show_and_tell.py`), or anew with every word (`show_attend_tell.py`).

Words are numbers of a vocabulary, 0 is the end (STOP). Two more rows of the embedding are inputs only: START, and words
that are too rare to be learnt.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0

HEAD = 1280  # channels of the backbone's last convolution, which ImageNet's classes were read from
State = tuple[Tensor, ...]
Seen = tuple[Tensor, ...]
"""What a decoder knows of each of N photos: tensors whose first axis is N."""


class Step(NamedTuple):
    """One step of a decoder over N captions.

    Attributes:
        vector: (N, E), from which the next word is read.
        state: what the next step starts from.
        looked: (N, Q), how much it looked at each place of the photo; sums to 1. None: the system does not look.
    """

    vector: Tensor
    state: State
    looked: Tensor | None


class Captioner(nn.Module):
    """A backbone, and what its subclasses make of its last map.

    A subclass has `see`, `begin` and `advance`, and says in `sizes` with which arguments it was made.

    Args:
        vocabulary: V words, the first of which stands for the end.
        embedding: E, length of a word's vector. The same matrix reads words and writes them (Press and Wolf, 2017).
        dropout: share of the vectors' entries that are zero in training.
    """

    looks = False
    """Whether it says where it looked for each word."""

    letters: Tensor

    def __init__(self, vocabulary: Sequence[str], embedding: int, dropout: float) -> None:
        super().__init__()
        self.words = words = len(vocabulary)
        self.start, self.rare = words, words + 1
        # a checkpoint has the vocabulary among its tensors, so it can be neither lost nor mistaken
        self.register_buffer("letters", torch.tensor(list("\n".join(vocabulary).encode()), dtype=torch.uint8))
        self.backbone = EfficientNetLite0()
        self.head = nn.Conv2d(CHANNELS[-1], HEAD, 1)
        self.embed = nn.Embedding(words + 2, embedding)
        self.bias = nn.Parameter(torch.zeros(words))
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.embed.weight, std=0.05)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, by number."""
        return words_in(self.letters)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The sizes, by argument, of the network that these weights are of. Raises KeyError: they are of another."""
        raise NotImplementedError

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Self:
        """The network of these weights, for use.

        Raises:
            KeyError, RuntimeError, ValueError, IndexError: they are of another.
        """
        model = cls(words_in(state["letters"]), **cls.sizes(state))
        model.load_state_dict(state)
        return model.eval()

    def see(self, maps: Tensor) -> Seen:
        """Args: maps (N, 320, R, R), the backbone's last. Returns: what `begin` and `advance` need of them."""
        raise NotImplementedError

    def begin(self, seen: Seen) -> State:
        """The state before the first word."""
        raise NotImplementedError

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> Step:
        """One step: from the vectors (N, E) of the words before."""
        raise NotImplementedError

    def features(self, maps: Tensor) -> Tensor:
        """(N, 320, R, R) -> (N, 1280, R, R): the last layer before ImageNet's classes."""
        return F.relu6(self.head(maps))

    def logits(self, vectors: Tensor) -> Tensor:
        """(N, E) -> (N, V): the softmax of it is P(next word | words before, photo)."""
        return F.linear(self.drop(vectors), self.embed.weight[: self.words], self.bias)

    def teach(self, maps: Tensor, captions: Tensor, lengths: list[int], photos: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits of each next word, given the right words before it (teacher forcing).

        The captions that are over leave the batch, so padding costs nothing and has no gradient.

        Args:
            maps: (P, 320, R, R), of P photos.
            captions: (N, T) int64, sorted by length, longest first; each begins with START.
            lengths: how many inputs each caption has: its words and START.
            photos: (N,) int64, which of the P photos each caption is of.

        Returns:
            (sum of lengths, V): those of the first step, then of the second, and so on; and where each step looked.
        """
        seen = tuple(tensor[photos] for tensor in self.see(maps))
        state = self.begin(seen)
        vectors = self.drop(self.embed(captions))
        outputs, looks = [], []
        for t, count in enumerate(counts_of(lengths)):
            state = tuple(tensor[:count] for tensor in state)
            step = self.advance(vectors[:count, t], state, tuple(tensor[:count] for tensor in seen))
            state = step.state
            outputs.append(step.vector)
            if step.looked is not None:
                looks.append(step.looked)
        return self.logits(torch.cat(outputs)), looks


@torch.no_grad()
def load_head(head: nn.Conv2d, state: Mapping[str, Tensor]) -> None:
    """ImageNet's last convolution, with its normalisation inside.

    Args:
        head: from the backbone's last map to HEAD channels.
        state: with the key names of `efficientnet_lite_pytorch`.
    """
    scale = state["_bn1.weight"] / torch.sqrt(state["_bn1.running_var"] + 1e-3)
    head.weight.copy_(state["_conv_head.weight"] * scale[:, None, None, None])
    cast(Tensor, head.bias).copy_(state["_bn1.bias"] - state["_bn1.running_mean"] * scale)


def words_in(letters: Tensor) -> tuple[str, ...]:
    """The vocabulary from its letters. Raises ValueError: they are not text."""
    return tuple(bytes(letters.tolist()).decode().split("\n"))


def counts_of(lengths: list[int]) -> list[int]:
    """How many captions have a t-th input, for t = 0, 1, ...; `lengths` is sorted, longest first."""
    return [sum(length > t for length in lengths) for t in range(lengths[0])]
