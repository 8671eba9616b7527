"""FFmpeg's rational numbers as Python's exact fractions.

PyAV gives a `Fraction`, or None where FFmpeg knows nothing; from 19 on a type of its own, which rounds products to 32
bits and is 0 or 1/0 where nothing is known.
"""

from fractions import Fraction
from typing import Protocol


class Rational(Protocol):
    """What both have. False if it is 0, or not known."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...

    def __bool__(self) -> bool: ...


def fraction(value: Rational | None) -> Fraction | None:
    """The same number; None for 0 and for what is not known, neither of which a rate or a unit of time can be."""
    return Fraction(value.numerator, value.denominator) if value else None
