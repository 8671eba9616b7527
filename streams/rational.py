"""FFmpeg's rational numbers as Python's exact fractions.

PyAV returns a `Fraction`, or None for an unknown value. From version 19 on, it returns a type of its own, which rounds
products to 32 bits and is 0 or 1/0 for an unknown value.
"""

from fractions import Fraction
from typing import Protocol


class Rational(Protocol):
    """The common interface of both types. It is false for 0 and for unknown values."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...

    def __bool__(self) -> bool: ...


def fraction(value: Rational | None) -> Fraction | None:
    """The same number; None for 0 and for unknown values, because neither is a rate or a unit of time."""
    return Fraction(value.numerator, value.denominator) if value else None
