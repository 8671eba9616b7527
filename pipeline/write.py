"""Text as a loop: the characters that a language model writes, one after another."""

from collections.abc import Iterator

import numpy as np

from watchline.engines.language import LanguageModel
from watchline.ops.sampling import draw

OPENING = "\n"  # what comes before the first line


def write(
    model: LanguageModel, seed: str, length: int, temperature: float, random: np.random.Generator
) -> Iterator[str]:
    """Let a model go on with a text.

    "Provide 'A' and the past, get P(next word | current word = 'A' and past), select one of these words according to
    their probabilities, repeat."

    Args:
        model: in a session.
        seed: what the text begins with; empty for the beginning of a line.
        length: how many characters to write.
        temperature: see `draw`.
        random: where chance comes from.

    Returns:
        an iterator over the characters after the seed.

    Raises:
        RequestRefused: the model does not know a character of the seed. At once, before anything is written.
    """
    opening = OPENING if OPENING in model.about.characters else model.about.characters[0]
    return _written(model, model.numbers(seed or opening), length, temperature, random)


def _written(
    model: LanguageModel, numbers: list[int], length: int, temperature: float, random: np.random.Generator
) -> Iterator[str]:
    state = model.begin()
    for number in numbers:
        scores, state = model.step(number, state)
    for left in reversed(range(length)):
        number = draw(scores, temperature, random)
        yield model.about.characters[number]
        if left:
            scores, state = model.step(number, state)
