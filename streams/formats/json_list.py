"""A list of JSON, written entry by entry, so that it is never in memory as a whole."""

from collections.abc import Iterable
from typing import Any, TextIO

from watchline.text import json_text


def write_list(file: TextIO, entries: Iterable[Any]) -> None:
    """Args: entries, JSON values. Raises OSError: it cannot be written."""
    file.write("[")
    for number, entry in enumerate(entries):
        file.write(",\n" * (number > 0) + json_text(entry))
    file.write("]")
