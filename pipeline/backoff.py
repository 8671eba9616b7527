"""How long to wait before trying again: longer each time, up to a ceiling, and never two of us at the same moment."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential back-off with jitter: the n-th wait is between half of `first` * 2**n and all of it.

    Attributes:
        first: the first wait at its longest, in seconds.
        ceiling: the longest wait.
    """

    first: float
    ceiling: float

    def waits(self, random: random.Random) -> Iterator[float]:
        """Seconds to wait, one after another, without end."""
        longest = self.first
        while True:
            yield random.uniform(longest / 2, longest)
            longest = min(2 * longest, self.ceiling)
