"""WUPS: how near answers are in meaning to what people answered (Malinowski and Fritz, 2014, section 4.1).

An answer is a set of things. Each thing of either side looks for the nearest one of the other:

    WUPS(A, T) = 1/N sum_i min( prod_{a in A_i} max_{t in T_i} near(a, t), prod_{t in T_i} max_{a in A_i} near(a, t) )

`near` is Wu and Palmer's similarity, which is high between most things of a room: 0.59 of a book and a lamp. So what is
below a threshold counts a tenth; the threshold 0.0 lets all count. With `near` of 1 for the same word and 0 for others,
WUPS is the accuracy.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

THRESHOLDS = (0.9, 0.0)
BELOW = 0.1
"""What a similarity below the threshold is multiplied by."""

Near = Callable[[str, str], float]
Things = Sequence[str]


def figures(answers: Sequence[Things], truth: Sequence[Things], similarity: Near | None) -> dict[str, float]:
    """The figures of N answers: accuracy, and that of the questions that one word answers; WUPS at 0.9 and 0.0.

    Args:
        answers, truth: the things of each.
        similarity: Wu and Palmer's; None for no WUPS.
    """
    single = [(a, t) for a, t in zip(answers, truth, strict=True) if len(t) == 1]
    found = {
        "accuracy of single words": wups([a for a, _ in single], [t for _, t in single], same),
        "accuracy": wups(answers, truth, same),
    }
    if similarity is not None:
        cached = cache(similarity)  # many questions have the same answer
        for threshold in THRESHOLDS:
            found[f"WUPS {threshold}"] = wups(answers, truth, thresholded(cached, threshold))
    return found


def wups(answers: Sequence[Things], truth: Sequence[Things], near: Near) -> float:
    """WUPS of N answers, 0 to 1.

    Args:
        answers, truth: the things of each; at least one.
        near: how near two things are, 0 to 1.
    """
    return sum(_score(a, t, near) for a, t in zip(answers, truth, strict=True)) / max(len(truth), 1)


def _score(answer: Things, truth: Things, near: Near) -> float:
    return min(
        math.prod(max(near(a, t) for t in truth) for a in answer),
        math.prod(max(near(a, t) for a in answer) for t in truth),
    )


def same(one: str, other: str) -> float:
    """1 where two things are the same, else 0: with it, WUPS is the accuracy."""
    return float(one == other)


def thresholded(similarity: Near, threshold: float) -> Near:
    """A similarity of which what is below a threshold counts a tenth; the same word is as near as can be."""

    def near(one: str, other: str) -> float:
        value = 1.0 if one == other else similarity(one, other)
        return value if value >= threshold else BELOW * value

    return near
