"""`${NAME}` in the config's strings: secrets and paths from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHORTEST_SECRET = 4  # letters
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


@dataclass(frozen=True)
class Interpolated:
    """A value with its variables replaced.

    Attributes:
        secrets: value of each variable that was put in, by name.
        mistakes: variables that are not set, and `${…}` that name none.
        changed: whether there was any `${…}`.
    """

    value: Any
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mistakes: tuple[str, ...] = ()
    changed: bool = False


def interpolate(value: Any, environment: Mapping[str, str] = os.environ) -> Interpolated:
    """Replace `${NAME}` and `${NAME:-text}` in a string, or in every string of a list."""
    if isinstance(value, list):
        parts = [interpolate(part, environment) for part in value]
        return Interpolated(
            [part.value for part in parts],
            {name: text for part in parts for name, text in part.secrets.items()},
            tuple(mistake for part in parts for mistake in part.mistakes),
            any(part.changed for part in parts),
        )
    if not isinstance(value, str) or not _VARIABLE.search(value):
        return Interpolated(value)
    secrets: dict[str, str] = {}
    mistakes: list[str] = []

    def replacement(found: re.Match[str]) -> str:
        inside = _INSIDE.fullmatch(found[1])
        if inside is None:
            mistakes.append(f"{found[0]} names no variable: expected ${{NAME}} or ${{NAME:-default}}")
            return ""
        name, default = inside["name"], inside["default"]
        if default is not None and not environment.get(name):
            return default.removeprefix(":-")
        if name not in environment:
            mistakes.append(f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}")
            return ""
        secrets[name] = environment[name]
        return environment[name]

    return Interpolated(_VARIABLE.sub(replacement, value), secrets, tuple(mistakes), changed=True)


def conceal(text: str, secrets: Mapping[str, str]) -> str:
    """The text with `${NAME}` in place of the value of every variable in it, the longest first.

    Values of less than four letters stay: they are numbers and the like, and would be found everywhere.
    """
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"${{{name}}}")
    return text
