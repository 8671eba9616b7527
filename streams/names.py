"""Names of streams: outputs are called after them, and in a run all are different."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from watchline.files import LONGEST_NAME, shortened
from watchline.streams.live.paced import PacedSource

AnySource = TypeVar("AnySource")
A_NAME = f"a name without slashes, of {LONGEST_NAME} bytes at most"  # what `is_name` expects


def is_name(text: str) -> bool:
    """Whether a stream may be called so: outputs are files that are called after their stream."""
    return text not in ("", ".", "..") and not set(text) & set("/\\\0") and shortened(text) == text


def named_apart(sources: Sequence[AnySource]) -> list[AnySource]:
    """Rename streams so that no two names are equal, not even when case is ignored: clip, clip-2."""
    taken = {_name(source).casefold() for source in sources}
    seen: set[str] = set()
    renamed = []
    for source in sources:
        name, number = _name(source), 2
        if name.casefold() in seen:
            while (name := f"{_name(source)}-{number}").casefold() in taken | seen:
                number += 1
        seen.add(name.casefold())
        renamed.append(source if name == _name(source) else _renamed(source, name))
    return renamed


def _name(source: Any) -> str:
    return str(source.stream)


def _renamed(source: Any, name: str) -> Any:
    if isinstance(source, PacedSource):
        return replace(source, file=replace(source.file, stream=name))
    return replace(source, stream=name)
