"""Makes sources of what a Python caller gives: paths, cameras, arrays, iterators of arrays, or sources."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, cast

import numpy as np

from watchline.streams.errors import NoSource
from watchline.streams.frame import Image
from watchline.streams.inputs import find_sources
from watchline.streams.iterator import IteratorSource
from watchline.streams.live.words import is_live, live_source
from watchline.streams.names import named_apart
from watchline.streams.source import LiveSource, Source

Name = str | Path | int  # of a file, a folder, a pattern or a camera
# One iterable of everything, because mypy finds no type for [0, "a.mp4"] in a union of iterables. At run time, names
# and Sources are accepted in lists only.
Given = Name | Source | LiveSource | Image | Iterable[Name | Source | LiveSource | Image | tuple[Image, float]]
EXPECTED = (
    "expected a path, an address or a number of a camera, an array (height, width, 3), a list or an iterator of these, "
    "or a Source (it has `stream` and `open()`)"
)


def sources_of(given: Given) -> Sequence[Source | LiveSource]:
    """The sources of an argument. Files, folders and patterns are searched; nothing is opened.

    Args:
        given: path of a file or folder, or a pattern; address, device or number of a camera; an array (H, W, 3) uint8
            BGR, or (N, H, W, 3); a list of one of these kinds; an iterator of arrays or of pairs (array, seconds); any
            Source, or a list of Sources.

    Raises:
        NoSource (a TypeError): it is none of these; the message says what is expected.
        SourceNotFound (a FileNotFoundError): there is no such file.
        StreamError: a file cannot be read, or an address is not valid.
    """
    if isinstance(given, np.ndarray):
        return [IteratorSource(_pictures(given))]
    if isinstance(given, list | tuple):
        return _of_list(given)
    kind = _kind(given)
    if kind == "name":
        return _of_names([cast(Name, given)])
    if kind == "source":
        return [cast(Source, given)]
    if isinstance(given, Iterable) and not isinstance(given, bytes | bytearray | memoryview | Mapping | Set):
        return [IteratorSource(cast(Iterable[Image], given))]
    raise NoSource(f"source is of type {type(given).__name__}: {EXPECTED}")


def _of_list(given: Sequence[Any]) -> Sequence[Source | LiveSource]:
    if not given:
        raise NoSource(f"source is an empty list: {EXPECTED}")
    kind = _kind(given[0])
    for index, one in enumerate(given):
        if _kind(one) != kind:
            raise NoSource(
                f"source is a list of different things, {type(given[0]).__name__} and, at index {index}, "
                f"{type(one).__name__}: expected paths and cameras, or arrays, or Sources"
            )
    if kind == "name":
        return _of_names(given)
    if kind == "source":
        return given
    if kind == "array":
        return [IteratorSource([_picture(one, f"array {index}") for index, one in enumerate(given)])]
    if kind == "pair":
        return [IteratorSource(given)]
    raise NoSource(f"source is a list of {type(given[0]).__name__}: {EXPECTED}")


def _kind(one: object) -> str | None:
    """The kind of a value: the "name" of a source, a "source", an "array", a "pair" of array and time; else None."""
    if isinstance(one, str | Path | int | np.integer) and not isinstance(one, bool):
        return "name"
    if isinstance(one, np.ndarray):
        return "array"
    if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], np.ndarray):
        return "pair"
    if hasattr(one, "open") and hasattr(one, "stream"):
        return "source"
    return None


def _of_names(names: Sequence[Name]) -> Sequence[Source | LiveSource]:
    """Cameras first, then files, each in their order."""
    cameras = [camera for name in names if (camera := _camera(name)) is not None]
    found = find_sources([cast(str | Path, name) for name in names if _camera(name) is None])
    for problem in found.problems:
        raise problem
    return named_apart([*map(live_source, cameras), *found.sources])


def _camera(name: Name) -> str | None:
    """The name of a camera; None for the name of a file. A Path that is a number is the name of a file."""
    if isinstance(name, int | np.integer):
        if name < 0:
            raise NoSource(f"source is {name}: expected 0 or more as the number of a camera")
        return str(name)
    text = str(name)
    return text if is_live(text) and (isinstance(name, str) or name.is_absolute()) else None


def _pictures(array: Image) -> Sequence[Image]:
    """One picture (H, W, 3), or the N of (N, H, W, 3)."""
    if array.ndim != 4:
        return [_picture(array, "the array")]
    if not len(array):
        raise NoSource(f"the array is {array.dtype} {array.shape}: expected one picture or more")
    _picture(array[0], "a picture of the array")
    return [*array]


def _picture(array: Image, name: str) -> Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise NoSource(f"{name} is {array.dtype} {array.shape}: expected uint8 (height, width, 3), BGR")
    return array
