"""The root of all errors that Watchline raises for its user. Any folder may import this file; it imports nothing."""


class WatchlineError(Exception):
    """What went wrong, in one line: what, got, expected, what to do; a config has a line per mistake.

    Every folder has a class of its own below this one, and what it raises is also the builtin exception that fits, so
    `except FileNotFoundError` works as well. Other exceptions are defects of Watchline, or of a stage of your own.
    """
