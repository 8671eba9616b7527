"""Wrong names and the nearest right one."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not known, e.g. `unknown class 'persn': did you mean 'person'?`"""
    options = list(known)
    near = get_close_matches(name, options, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(options)}"
    return f"unknown {what} {name!r}: {hint}"
