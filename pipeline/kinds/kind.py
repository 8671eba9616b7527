"""What a stage can give: a kind of result, with all that the rest of the pipeline must know of it.

    @dataclass(frozen=True)
    class Crowd:                                    # the result: plain data
        count: int
        centre: NDArray[np.float32]                 # (2,)

    CROWD = Kind("crowd", Crowd, as_json=lambda crowd: crowd.count, schema={"type": "integer"})

    item = item.with_result(CROWD, Crowd(3, centre))    # in the stage that gives it
    crowd = item.result(CROWD)                          # in any stage after it; None if there is none

A kind is defined in the file of the stage that gives it. Events, annotator and codec know no kinds: each kind
says how it is written, drawn and sent.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

R = TypeVar("R")
Packed = tuple[Any, tuple[NDArray[Any], ...]]
"""A result on the wire: a JSON value, with arrays of numbers or booleans."""

TAKEN = ("schema", "stream", "frame", "pts", "file", "epoch", "time", "latency_ms", "late", "width", "height", "event")


@dataclass(frozen=True, eq=False)
class Kind(Generic[R]):
    """A kind of result.

    Attributes:
        key: its name: in a frame's line, on the wire, in errors.
        type: the class of the results. A dataclass of arrays and JSON values, with tuples in place of lists, needs no
            `pack` and `unpack`.
        as_json: its part of a frame's line, None where a result has none; None if no result has.
        schema: JSON Schema of that part.
        draw: puts a result on the annotated picture; None if there is nothing to see.
        subtitle: what a result says in words, in English, as subtitles of the video; it holds until the next one.
        summary: a few words on a result, for the info line, e.g. "3 detections".
        pack, unpack: a result to what crosses to another process, and back. `unpack` raises ValueError for what cannot
            be; it is the check of what another host sent.
        is_picture: its one array is a picture (H, W, 3) uint8 BGR, which may cross as JPEG.

    Raises:
        ValueError: a frame's line has such a key already.
    """

    key: str
    type: type[R]
    as_json: Callable[[R], Any] | None = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    draw: "Callable[[Canvas, R], None] | None" = None
    subtitle: Callable[[R], str] | None = None
    summary: Callable[[R], str] | None = None
    pack: Callable[[R], Packed] | None = None
    unpack: Callable[[Any, tuple[NDArray[Any], ...]], R] | None = None
    is_picture: bool = False

    def __post_init__(self) -> None:
        if not self.key.isidentifier() or self.key in TAKEN:
            raise ValueError(f"a kind of result cannot be called {self.key!r}: expected a word other than {TAKEN}")

    def packed(self, result: R) -> Packed:
        """The result as a JSON value and arrays.

        Raises:
            ValueError: there is something else in it.
        """
        return (self.pack or _pack_dataclass)(result)

    def unpacked(self, value: Any, arrays: tuple[NDArray[Any], ...]) -> R:
        """The result again.

        Raises:
            ValueError: it is not one.
        """
        if self.unpack is not None:
            return self.unpack(value, arrays)
        result: R = _unpack_dataclass(self.type, value, arrays)
        return result


def _pack_dataclass(result: Any) -> Packed:
    if not is_dataclass(result):
        raise ValueError(f"it is of type {type(result).__name__}: expected a dataclass, or a kind with pack and unpack")
    values = {each.name: getattr(result, each.name) for each in fields(result) if each.init}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    words = {name: value for name, value in values.items() if name not in arrays}
    wrong = [name for name, word in words.items() if not _is_word(word)]
    if wrong:
        raise ValueError(
            f"its {wrong[0]} is of type {type(words[wrong[0]]).__name__}: expected arrays and finite JSON values, with "
            "tuples in place of lists; or a kind with pack and unpack"
        )
    return {"words": words, "arrays": list(arrays)}, tuple(arrays.values())


def _unpack_dataclass(kind: type, value: Any, arrays: tuple[NDArray[Any], ...]) -> Any:
    match value:
        case {"words": dict(words), "arrays": list(names)} if len(names) == len(arrays):
            given = {name: _as_tuples(word) for name, word in words.items()}
            try:
                return kind(**given, **dict(zip(names, arrays, strict=True)))
            except TypeError as error:
                raise ValueError(str(error)) from None
    raise ValueError(f"expected the words and arrays of a {kind.__name__}")


def _is_word(value: Any) -> bool:
    """Whether a value is the same again after it was JSON."""
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case tuple():
            return all(map(_is_word, value))
        case dict():
            return all(isinstance(key, str) and _is_word(word) for key, word in value.items())
    return False


def _as_tuples(value: Any) -> Any:
    """JSON has lists only; a frozen result has tuples."""
    if isinstance(value, dict):
        return {key: _as_tuples(word) for key, word in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
