"""Names of streams: in a run, all streams have different names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from watchline.streams.live.paced import PacedSource

AnySource = TypeVar("AnySource")


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
