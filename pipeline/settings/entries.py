"""Settings of a stage that are a table each, with a name: `[streams.door.zones.entrance]`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol


class Entry(Protocol):
    """A dataclass with a name."""

    @property
    def name(self) -> str: ...


def check_names(entries: Sequence[Entry]) -> None:
    """Raises ValueError: two have one name, or a name cannot be shown."""
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"there are two of the name {twice!r}: expected a name for each")
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise ValueError(f"the name {odd!r} cannot be shown: expected letters")


def recorded(entries: Sequence[Any]) -> dict[str, Any]:
    """The entries by name, as the header of the events has them."""
    tables = {entry.name: asdict(entry) for entry in entries}
    return {name: {key: value for key, value in table.items() if key != "name"} for name, table in tables.items()}
