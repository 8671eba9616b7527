"""Visual question answering with attention: an LSTM looks at the photo anew for each word of the question.

Zhu, Groth, Bernstein and Fei-Fei, "Visual7W: Grounded Question Answering in Images" (2016), section 5. F(I) are the
features of the photo as a whole, C(I) those of its 14 x 14 places:

    v_0 = W_i F(I) + b_i                                   the photo, as the first word
    v_t = W_w OneHot(t_t)                                  the words of the question, "?" the last
    e_t = w_a . tanh(W_he h_{t-1} + W_ce C(I)) + b_a
    a_t = softmax(e_t)
    r_t = a_t . C(I)                                       what is seen where it looks
    i_t = sigm(W_vi v_t + W_hi h_{t-1} + W_ri r_t + b_i)   f_t, o_t and g_t alike
    h_t, c_t = LSTM([v_t; r_t], h_{t-1}, c_{t-1})

After the "?", the paper writes the answer word by word. Here the answer is one of those that are frequent, by a softmax
over them, as nearly all answers of DAQUAR are single words. Of given choices, the one with the highest probability is
taken. `Blind` is the same LSTM without the photo: what it answers rightly, the question alone gives away.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.captioner import HEAD, words_in
from watchline.models.efficientnet_lite import CHANNELS, EfficientNetLite0
from watchline.models.lstm import LSTMCell
from watchline.models.rnn import State

SIDE = 448
"""Pixels of the photo, which is stretched to a square: 14 x 14 places."""

END = 0
"""The number of "?": what is after it in a row is never read."""

Seen = tuple[Tensor, ...]


class Blind(nn.Module):
    """A question, read by an LSTM; the photo is not looked at.

    Args:
        words: V words of questions, of which the first is "?". Number V stands for words that are not known.
        answers: A answers.
        embedding: E, of a word.
        hidden: H, of the LSTM.
        dropout: share of the entries of words, and of the state that is answered from, that are zero in training.
        seen: length of what the LSTM reads with each word.
    """

    letters: Tensor
    answer_letters: Tensor

    def __init__(
        self,
        words: Sequence[str],
        answers: Sequence[str],
        embedding: int = 128,
        hidden: int = 256,
        dropout: float = 0.5,
        seen: int = 0,
    ) -> None:
        super().__init__()
        self.unknown = len(words)
        # a checkpoint has its words among its tensors, so they can be neither lost nor mistaken
        self.register_buffer("letters", _letters(words))
        self.register_buffer("answer_letters", _letters(answers))
        self.embed = nn.Embedding(len(words) + 1, embedding)
        self.lstm = LSTMCell(embedding + seen, hidden)
        self.answer = nn.Linear(hidden, len(answers))
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.embed.weight, std=0.5)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of questions, by number."""
        return words_in(self.letters)

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers, by number."""
        return words_in(self.answer_letters)

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The sizes, by argument, of the network that these weights are of. Raises KeyError: they are of another."""
        return {"embedding": state["embed.weight"].shape[1], "hidden": state["lstm.h.weight"].shape[1]}

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Self:
        """The network of these weights, for use.

        Raises:
            KeyError, RuntimeError, ValueError, IndexError: they are of another.
        """
        model = cls(words_in(state["letters"]), words_in(state["answer_letters"]), **cls.sizes(state))
        model.load_state_dict(state)
        return model.eval()

    def see(self, maps: Tensor) -> Seen:
        """Args: maps (P, 320, R, R), the backbone's last. Returns: what `begin` and `advance` need of them."""
        return (maps.new_zeros(len(maps), 0),)

    def begin(self, seen: Seen) -> State:
        """The state before the first word."""
        return self.lstm.zeros(len(seen[0]))

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> tuple[State, Tensor]:
        """One step: from the vectors (N, E) of a word of each question. Returns: the state; where it looked (N, Q)."""
        return self.lstm(vectors, state), seen[0]

    def forward(self, maps: Tensor, questions: Tensor, photos: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Answer questions.

        Args:
            maps: (P, 320, R, R), the backbone's last, of P photos.
            questions: (N, T) int64, the words' numbers and END; whatever comes after it.
            photos: (N,) int64, which photo each question is about; without it, the n-th about the n-th.

        Returns:
            (N, A) logits of the answers; (N, T, Q), how much each word looked at each place: sums to 1, after END to 0.
        """
        seen = self.see(maps)
        return self.read(seen if photos is None else tuple(tensor[photos] for tensor in seen), questions)

    def read(self, seen: Seen, questions: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, of what was seen of the photo of each question."""
        state = self.begin(seen)
        vectors = self.drop(self.embed(questions))
        going = torch.ones_like(questions[:, :1], dtype=torch.bool)  # whether the question has a t-th word
        looks = []
        for t in range(questions.shape[1]):
            (h, c), looked = self.advance(vectors[:, t], state, seen)
            state = torch.where(going, h, state[0]), torch.where(going, c, state[1])
            looks.append(looked * going)
            going = going & (questions[:, t : t + 1] != END)
        return self.answer(self.drop(state[0])), torch.stack(looks, 1)


class VQA(Blind):
    """The LSTM that looks at the photo.

    Args:
        words, answers, embedding, hidden, dropout: as of Blind.
        places: D, length of a place's features.
        attention: width of the network that compares places and state.
    """

    def __init__(
        self,
        words: Sequence[str],
        answers: Sequence[str],
        embedding: int = 128,
        hidden: int = 256,
        dropout: float = 0.5,
        places: int = 128,
        attention: int = 64,
    ) -> None:
        super().__init__(words, answers, embedding, hidden, dropout, seen=places)
        self.backbone = EfficientNetLite0()
        self.head = nn.Conv2d(CHANNELS[-1], HEAD, 1)
        self.photo, self.places = nn.Linear(HEAD, embedding), nn.Linear(HEAD, places)
        self.key, self.query = nn.Linear(places, attention), nn.Linear(hidden, attention, bias=False)
        self.energy = nn.Linear(attention, 1)
        with torch.no_grad():  # it begins blind: what it sees must not drown the words
            self.photo.weight.zero_()
            self.lstm.x.weight[:, embedding:].zero_()

    @staticmethod
    def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
        """The arguments, from the shapes."""
        return {
            **Blind.sizes(state),
            "places": len(state["places.weight"]),
            "attention": len(state["key.weight"]),
        }

    def see(self, maps: Tensor) -> Seen:
        """v_0 (P, E); C(I) (P, Q, D); and the part of the comparison that is the same for all words (P, Q, A)."""
        features = F.relu6(self.head(maps)).flatten(2).transpose(1, 2)  # (P, Q, 1280), as before ImageNet's classes
        places = F.relu(self.places(features))
        places = F.dropout(places, min(0.2, self.drop.p), self.training)
        return self.photo(self.drop(features.mean(1))), places, self.key(places)

    def begin(self, seen: Seen) -> State:
        """The state after v_0."""
        state, _ = self.advance(seen[0], self.lstm.zeros(len(seen[0])), seen)
        return state

    def advance(self, vectors: Tensor, state: State, seen: Seen) -> tuple[State, Tensor]:
        """Look, then read the word."""
        _, places, keys = seen
        energy = self.energy(torch.tanh(keys + self.query(state[0])[:, None]))[..., 0]
        looked = energy.softmax(1)
        r = (looked[:, None] @ places)[:, 0]
        return self.lstm(torch.cat([vectors, r], 1), state), looked


SYSTEMS: dict[str, type[Blind]] = {"vqa": VQA, "blind": Blind}


def _letters(words: Sequence[str]) -> Tensor:
    return torch.tensor(list("\n".join(words).encode()), dtype=torch.uint8)
