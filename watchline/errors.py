"""The root of all errors that Watchline raises for its user. Any folder may import this file; it imports nothing."""

from collections.abc import Iterable
from difflib import get_close_matches


class WatchlineError(Exception):
    """An error for the user in one line: what, got, expected, what to do; for a config, one line per mistake.

    Every folder has its own subclass, and its errors are also the builtin exception that fits, so
    `except FileNotFoundError` works too. Other exceptions are defects of Watchline, or of your own stage.
    """


class SettingsError(WatchlineError, ValueError):
    """A stage, source or sink got an unknown setting. The message names the nearest one."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for an unknown name, e.g. `unknown class 'persn': did you mean 'person'?`"""
    options = list(known)
    near = get_close_matches(name, options, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(options)}"
    return f"unknown {what} {name!r}: {hint}"
