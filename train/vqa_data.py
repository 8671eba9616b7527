"""What VQA learns from: the photos of a split as maps, questions and answers as numbers, and the vocabularies."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.engines.tasks import LONGEST_QUESTION
from watchline.models.vqa import END, SIDE
from watchline.ops import question as questions
from watchline.ops.daquar import Asked, read
from watchline.ops.words import words_of
from watchline.train.captions_features import cached

SEEN = 2  # a word, or an answer, is learnt if the questions for training have it this often
END_LABEL = "?"
MIRRORED = {"left": "right", "right": "left"}  # words that are others in the mirror image


@dataclass(frozen=True)
class Split:
    """Questions of a split and their photos.

    Attributes:
        asked: N questions.
        photos: (N,) int64, the number of each question's photo.
        maps: (P, 2, 320, R, R) float16, the backbone's last map of each photo and of its mirror image.
    """

    asked: list[Asked]
    photos: NDArray[np.int64]
    maps: NDArray[np.float16]


def split(folder: Path, name: str, cache: Path, tell: Callable[[str], None]) -> Split:
    """A split of the data set, with its maps.

    Args:
        folder: of the data set.
        name: train or test.
        cache: folder for the maps.
        tell: hears how far their computation is.

    Raises:
        AnnotationRefused: the folder has not the data set's layout.
        CheckpointError: a photo cannot be read, or `cache` has other maps.
    """
    asked = read(folder, name)
    number_of = {photo: number for number, photo in enumerate(dict.fromkeys(one.photo for one in asked))}
    maps = cached(list(number_of), cache, f"places-{name}", tell, SIDE)
    return Split(asked, np.array([number_of[one.photo] for one in asked]), maps)


def vocabulary(asked: Sequence[Asked]) -> list[str]:
    """The words that questions have often, most frequent first, behind "?" (number 0)."""
    return [END_LABEL, *_frequent(word for one in asked for word in words_of(one.question))]


def answers(asked: Sequence[Asked]) -> list[str]:
    """The words that answers have often, most frequent first."""
    return _frequent(word for one in asked for word in one.answer)


def _frequent(words: Iterable[str]) -> list[str]:
    often = [(-count, word) for word, count in Counter(words).items() if count >= SEEN]
    return [word for _, word in sorted(often)]


def numbers(question: str, known: dict[str, int], is_mirrored: bool = False) -> list[int]:
    """The numbers of a question's words, without the end, as an exported network is asked them.

    Args:
        known: the numbers of the words; one more for all that are not known.
        is_mirrored: what is asked is asked about the mirror image, where left is right.
    """
    words = [MIRRORED.get(word, word) if is_mirrored else word for word in words_of(question)]
    return questions.numbers(words, known, LONGEST_QUESTION)


def padded(questions: Sequence[Sequence[int]]) -> Tensor:
    """(N, T) int64 of numbers of words: each row ends with END, and is filled with it."""
    rows = torch.full((len(questions), 1 + max(map(len, questions))), END)
    for row, question in zip(rows, questions, strict=True):
        row[: len(question)] = torch.tensor(question)
    return rows


def targets(asked: Sequence[Asked], known: dict[str, int]) -> Tensor:
    """(N, A) float32: the words of an answer share its probability; zeros where none of them is known."""
    shares = torch.zeros(len(asked), len(known))
    for row, one in zip(shares, asked, strict=True):
        right = [known[word] for word in one.answer if word in known]
        row[right] = 1 / max(1, len(right))
    return shares
