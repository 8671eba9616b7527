"""Words of captions: how text becomes words, and how a captioner's numbers become text."""

import re
from collections.abc import Iterable, Sequence

END = 0
"""The number that ends a caption, and fills what is left of its row."""

_WORD = re.compile(r"n't\b|[a-z0-9]+(?:[-/.&][a-z0-9]+)*|'(?:s|re|ve|ll|d|m)\b|[#&$%]")
_NOT = re.compile(r"(?<=[a-z])n't\b")


def words_of(caption: str) -> list[str]:
    """The words of a caption as the Penn Treebank splits them: lower case, no punctuation.

    "A dog's t-shirt isn't red." becomes a, dog, 's, t-shirt, is, n't, red. So figures of captions can be compared with
    those of `PTBTokenizer`, which scorers of captions use, and no Java is needed.
    """
    return _WORD.findall(_NOT.sub(" n't", caption.lower()))


def text_of(numbers: Iterable[int], vocabulary: Sequence[str]) -> str:
    """The text of a caption: plain lower case, words with a space between, up to the first END.

    Args:
        numbers: each a position in the vocabulary, e.g. a row of a captioner's `words`.
        vocabulary: the labels of the model.

    Raises:
        ValueError: a number has no word in the vocabulary.
    """
    text = ""
    for number in map(int, numbers):
        if number == END:
            break
        if not 0 < number < len(vocabulary):
            raise ValueError(f"word number {number}: expected 0 to {len(vocabulary) - 1}; is it another vocabulary?")
        word = vocabulary[number]
        glued = not text or word.startswith("'") or word == "n't"
        text += word if glued else f" {word}"
    return text
