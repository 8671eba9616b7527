"""The root of all errors that Watchline raises for its user. Any folder may import this file; it imports nothing."""

from collections.abc import Iterable
from difflib import get_close_matches


class WatchlineError(Exception):
    """What went wrong, in one line: what, got, expected, what to do; a config has a line per mistake.

    Every folder has a class of its own below this one, and what it raises is also the builtin exception that fits, so
    `except FileNotFoundError` works as well. Other exceptions are defects of Watchline, or of a stage of your own.
    """


class SettingsError(WatchlineError, ValueError):
    """A stage, source or sink was given a setting that it does not have. The message names the nearest."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not known, e.g. `unknown class 'persn': did you mean 'person'?`"""
    options = list(known)
    near = get_close_matches(name, options, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(options)}"
    return f"unknown {what} {name!r}: {hint}"
