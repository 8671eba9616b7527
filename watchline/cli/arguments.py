"""What the words after a flag may be. argparse names the flag when one of these refuses."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

MOST_FACTORS = 8  # of `factors`


class Once(argparse.Action):
    """An option that stands for one thing: given twice, it is refused, as nobody can say which one was meant."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        if (before := getattr(namespace, self.dest)) is not None:
            raise argparse.ArgumentError(self, f"it is there twice, {before!r} and {values!r}: expected one")
        setattr(namespace, self.dest, values)


def at_least(lowest: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `lowest` up, or from `lowest` to `most`."""
    expected = f"a whole number of at least {lowest}" if most is None else f"a whole number from {lowest} to {most}"

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
        return value

    return whole_number


def size(text: str) -> int | list[int]:
    """`416`, or `640x384`: width, then height."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r}: expected pixels, e.g. 416, or width x height, e.g. 640x384")
    return sides if len(sides) == 2 else sides[0]


def factors(text: str) -> tuple[float, ...]:
    """`0.75,1,1.25`: up to MOST_FACTORS different numbers from 1/4 to 4."""
    try:
        found = tuple(dict.fromkeys(float(word) for word in text.split(",")))
    except ValueError:
        found = ()
    if not 0 < len(found) <= MOST_FACTORS or not all(0.25 <= factor <= 4 for factor in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected at most {MOST_FACTORS} numbers from 0.25 to 4, e.g. 0.75,1,1.25"
        )
    return found


def preparation(text: str) -> Mapping[str, Any]:
    """`bgr,0..255`: how a network takes its pictures, as far as it is said."""
    from watchline.export.detectors.preparation import parse

    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def words(text: str) -> list[str]:
    """`person,car`."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names with commas between, e.g. person,car")
    return found


def share(text: str) -> float:
    """A number in 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number in 0..1")
    return value


def temperature(text: str) -> float:
    """`0.8`: a number from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of at least 0, e.g. 0.8")
    return value
