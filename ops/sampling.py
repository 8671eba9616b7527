"""What a language model writes next: "select one of these words according to their probabilities"."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw(scores: NDArray[np.floating[Any]], temperature: float, random: np.random.Generator) -> int:
    """The number of one of C words, drawn with the probabilities softmax(scores / temperature).

    Args:
        scores: (C,), logits or logarithms of probabilities.
        temperature: 1 for the model's own probabilities; less prefers what is likely; 0 takes the likeliest.
        random: where chance comes from.
    """
    if temperature == 0:
        return int(scores.argmax())
    scaled = (scores.astype(np.float64) - float(scores.max())) / temperature
    total = np.cumsum(np.exp(scaled))
    return int(np.searchsorted(total, random.random() * total[-1], side="right"))
