"""Questions as a model reads them, and its answers: one of all that it knows, or of given choices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.words import words_of

END = 0
"""The number of "?", which ends a question and fills what is left of its row."""


class Read(NamedTuple):
    """A question as numbers.

    Attributes:
        numbers: (T,) int32.
        words: as they were read, the end too.
        unknown: those of them that the model does not know.
    """

    numbers: NDArray[np.int32]
    words: tuple[str, ...]
    unknown: tuple[str, ...]


def read(question: str, vocabulary: Sequence[str], longest: int) -> Read:
    """A question as numbers of words: 0 from its end on; V for words that are not among the V that are known.

    Args:
        vocabulary: V words, the first of which stands for the end.
        longest: T, numbers of a row.

    Raises:
        ValueError: it has no word, or more than T - 1.
    """
    words = words_of(question)
    if not 0 < len(words) < longest:
        raise ValueError(f"a question of {len(words)} words: expected 1 to {longest - 1}")
    unknown = tuple(dict.fromkeys(word for word in words if word not in vocabulary))
    return Read(row(question, vocabulary, longest), (*words, vocabulary[END]), unknown)


def row(question: str, vocabulary: Sequence[str], longest: int) -> NDArray[np.int32]:
    """(T,) of `read`, of a question as data sets have them: it may have no word, and words after T - 1 are cut."""
    found = numbers(words_of(question), {word: number for number, word in enumerate(vocabulary)}, longest)
    return np.array(found + [END] * (longest - len(found)), np.int32)


def numbers(words: Sequence[str], known: Mapping[str, int], longest: int) -> list[int]:
    """The numbers of a question's words, without the end.

    Args:
        known: the numbers of V words; the others have the number V.
        longest: numbers of a row, with the end; words that have no room are cut.
    """
    return [known.get(word, len(known)) for word in words[: longest - 1]]


def best(scores: NDArray[np.float32], among: Sequence[int]) -> tuple[int, float]:
    """The number of the likeliest answer, and its probability.

    Args:
        scores: (A,), the probability of each answer.
        among: the numbers to choose from, of which one is right; one that is there twice counts once. None: all.
    """
    numbers = list(dict.fromkeys(among)) or list(range(len(scores)))
    number = max(numbers, key=lambda number: float(scores[number]))
    every = float(scores[numbers].sum())
    return number, min(1.0, float(scores[number]) / every) if every > 0 else 1 / len(numbers)
