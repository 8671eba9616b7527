"""The root of all errors that Watchline raises for its user. Any folder may import this file; it imports nothing."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class WatchlineError(Exception):
    """An error for the user in one line: what, got, expected, what to do; for a config, one line per mistake.

    Every folder has its own subclass, and its errors are also the builtin exception that fits, so
    `except FileNotFoundError` works too. Other exceptions are defects of Watchline, or of your own stage.
    """


class SettingsError(WatchlineError, ValueError):
    """A stage, source or sink got a setting that there is not, or a value that cannot be.

    Args:
        of: the name of the class.
        mistakes: each of them in words; the nearest name of an unknown setting is among them.
    """

    def __init__(self, of: str, mistakes: Sequence[str]) -> None:
        super().__init__(of, mistakes)
        self.mistakes = mistakes

    def __str__(self) -> str:
        of, mistakes = self.args
        return f"{of}: {'; '.join(mistakes)}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for an unknown name, e.g. `unknown class 'persn': did you mean 'person'?`"""
    options = list(known)
    hint = meant(name, options) or f"expected one of {', '.join(options)}"
    return f"unknown {what} {name!r}: {hint}"


def meant(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """`did you mean 'person'?` where a name is nearly one that is known, else nothing. Args: likeness, in 0..1."""
    near = get_close_matches(name, list(known), 1, likeness)
    return f"did you mean {near[0]!r}?" if near else ""


def one_of(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """What is expected instead of a name: `one of person, car; did you mean 'person'?`"""
    options = list(known)
    return "; ".join(filter(None, [f"one of {', '.join(options)}", meant(name, options, likeness)]))
