"""Items as bytes: an entry for the header, and the pixels and arrays as raw parts beside it.

    entries, parts = pack(items, quality=None)                  the client makes a request …
    items = unpack(entries, parts, kinds)                       … and the server reads it
    entries, parts = pack_results(items, done, quality=None)    the server makes an answer …
    done = merge(items, entries, parts, kinds)                  … and the client puts it into its items

The codec knows no kinds of results: each packs and unpacks itself. The parts of an item follow one another in the order
in which its entry names them. Numbers are little-endian. A part that does not have the size that its entry claims
raises Malformed before memory of that size is allocated.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.pipeline.remote.protocol import (
    DTYPES,
    MOST_ARRAYS,
    MOST_AXES,
    MOST_EVENTS,
    AboutEntry,
    ArrayEntry,
    EventEntry,
    ItemEntry,
    KindEntry,
    Malformed,
    PixelsEntry,
    PlanesEntry,
    ResultEntry,
)
from watchline.streams import jpeg
from watchline.streams.decoded import DecodedPicture
from watchline.streams.frame import ArrayPicture, Frame, Image, Picture
from watchline.streams.planes import PLANAR, Planes, least_shapes
from watchline.streams.source import About

Bytes = NDArray[np.uint8]
Kinds = Mapping[str, Kind[Any]]


def pack(items: Sequence[Item], quality: int | None) -> tuple[tuple[ItemEntry, ...], list[Bytes]]:
    """The entries of items, and their parts: views where pixels cross as they are.

    Args:
        quality: of JPEG, 1 to 100; None sends the decoded planes as they are, or BGR.

    Raises:
        ValueError: a result cannot cross, or there are too many events.
    """
    parts: list[Bytes] = []
    entries = []
    for item in items:
        frame = item.frame
        entries.append(
            ItemEntry(
                stream=frame.stream,
                index=frame.index,
                pts=frame.pts,
                time_base=_ratio(frame.time_base),
                picture=_pack_picture(frame.picture, quality, parts),
                file=frame.file,
                epoch=frame.epoch,
                time=frame.time,
                results=_pack_all(item.results, quality, parts),
                events=pack_events(item.events),
            )
        )
    return tuple(entries), parts


def unpack(entries: Sequence[ItemEntry], parts: Sequence[Bytes], kinds: Kinds) -> list[Item]:
    """The items of a request. Their pixels are views of the parts; the arrays of their results are copies.

    Args:
        kinds: of the results that may come, by key.

    Raises:
        Malformed: parts and entries do not fit together, or a result is not one.
    """
    supply = _Supply(parts)
    items = []
    for entry in entries:
        frame = Frame(
            stream=entry.stream,
            index=entry.index,
            pts=entry.pts,
            time_base=Fraction(*entry.time_base),
            picture=_unpack_picture(entry.picture, supply),
            file=entry.file,
            epoch=entry.epoch,
            time=entry.time,
        )
        items.append(Item(frame, _unpack_all(entry.results, supply, kinds), unpack_events(entry.events)))
    supply.end()
    return items


def pack_results(
    given: Sequence[Item], done: Sequence[Item], quality: int | None
) -> tuple[tuple[ResultEntry, ...], list[Bytes]]:
    """The entries of what a stage changed in the items it was given, and their parts.

    Args:
        done: an item for each, in its place, as `stage.checked` gives them.

    Raises:
        StageError: a result cannot cross, or there are too many events.
    """
    parts: list[Bytes] = []
    entries = []
    for before, after in zip(given, done, strict=True):
        changed = {kind: r for kind, r in after.results.items() if r is not before.results.get(kind)}
        picture = after.frame.picture if after.frame.picture is not before.frame.picture else None
        try:
            results = _pack_all(changed, quality, parts)
            events = pack_events(after.events[len(before.events) :])
        except ValueError as error:
            raise StageError(str(error)) from None
        entries.append(
            ResultEntry(results, events, None if picture is None else _pack_picture(picture, quality, parts))
        )
    return tuple(entries), parts


def merge(items: Sequence[Item], entries: Sequence[ResultEntry], parts: Sequence[Bytes], kinds: Kinds) -> list[Item]:
    """The items with the answer in them. Nothing in them is a view of the parts.

    Raises:
        Malformed: parts and entries do not fit together or to the items.
    """
    if len(entries) != len(items):
        raise Malformed(f"{len(entries)} results for {len(items)} items")
    supply = _Supply(parts, copies=True)
    done = []
    for item, entry in zip(items, entries, strict=True):
        results = _unpack_all(entry.results, supply, kinds)
        if entry.picture is not None:
            item = replace(item, frame=replace(item.frame, picture=_unpack_picture(entry.picture, supply)))
        done.append(
            replace(item, results={**item.results, **results}, events=(*item.events, *unpack_events(entry.events)))
        )
    supply.end()
    return done


def pack_events(events: Sequence[Event]) -> tuple[EventEntry, ...]:
    """The entries of events. Raises ValueError: there are more than may cross at once."""
    if len(events) > MOST_EVENTS:
        raise ValueError(f"{len(events)} events at once: expected at most {MOST_EVENTS}")
    return tuple(EventEntry(event.name, dict(event.data)) for event in events)


def unpack_events(entries: Sequence[EventEntry]) -> tuple[Event, ...]:
    """The events again. Raises Malformed: the data of one is not an object."""
    if not all(isinstance(entry.data, dict) for entry in entries):
        raise Malformed("an event without data by name")
    return tuple(Event(entry.name, entry.data) for entry in entries)


def pack_about(about: About) -> AboutEntry:
    """The entry of what a stage hears of a stream."""
    return AboutEntry(
        name=about.name,
        width=about.width,
        height=about.height,
        time_base=_ratio(about.time_base),
        pixel_aspect=_ratio(about.pixel_aspect),
        rate=_ratio(about.rate) if about.rate else None,
        frames=about.frames,
        codec=about.codec,
    )


def unpack_about(entry: AboutEntry) -> About:
    """What the stage hears of the stream."""
    return About(
        name=entry.name,
        width=entry.width,
        height=entry.height,
        time_base=Fraction(*entry.time_base),
        rate=Fraction(*entry.rate) if entry.rate else None,
        frames=entry.frames,
        codec=entry.codec,
        pixel_aspect=Fraction(*entry.pixel_aspect),
    )


def _ratio(fraction: Fraction) -> tuple[int, int]:
    return fraction.numerator, fraction.denominator


class _Supply:
    """Hands out parts one after another, or copies of them."""

    def __init__(self, parts: Sequence[Bytes], copies: bool = False) -> None:
        self._parts: Iterator[Bytes] = iter(parts)
        self.copies = copies

    def next(self, length: int | None = None) -> Bytes:
        """Raises Malformed: there is none left, or it has not `length` bytes."""
        part = next(self._parts, None)
        if part is None or (length is not None and len(part) != length):
            raise Malformed("a part is missing" if part is None else f"a part of {len(part)} bytes, not of {length}")
        return np.array(part) if self.copies else part

    def end(self) -> None:
        """Raises Malformed: there are parts left."""
        if next(self._parts, None) is not None:
            raise Malformed("there are parts that no entry names")


def _pack_picture(picture: Picture, quality: int | None, parts: list[Bytes]) -> PlanesEntry | PixelsEntry:
    if quality is not None or not isinstance(picture, DecodedPicture):
        return _pack_pixels(picture.bgr(), quality, parts)
    planes = picture.planes
    parts += planes.arrays
    transposed, flip = picture.orientation
    return PlanesEntry(
        format=planes.format,
        width=planes.width,
        height=planes.height,
        colorspace=planes.colorspace,
        color_range=planes.color_range,
        transposed=transposed,
        flip=flip,  # type: ignore[arg-type]  # one of cv2.flip's codes
        shapes=tuple((array.shape[0], array.shape[1]) for array in planes.arrays),
    )


def _unpack_picture(entry: PlanesEntry | PixelsEntry, supply: _Supply) -> Picture:
    if isinstance(entry, PixelsEntry):
        return ArrayPicture(_unpack_pixels(entry, supply))
    arrays = tuple(supply.next(rows * width).reshape(rows, width) for rows, width in entry.shapes)
    try:
        least = least_shapes(entry.format, entry.width, entry.height, sum(array.nbytes for array in arrays))
        planes = Planes(entry.format, entry.width, entry.height, entry.colorspace, entry.color_range, arrays)
        picture = DecodedPicture.of_planes(planes, (entry.transposed, entry.flip))
    except ValueError as error:
        raise Malformed(f"not a picture: {error}") from None
    exact = entry.format in PLANAR
    fits = len(entry.shapes) == len(least) and all(
        rows == least_rows and (width == least_width if exact else width >= least_width)
        for (rows, width), (least_rows, least_width) in zip(entry.shapes, least, strict=True)
    )
    if not fits:
        raise Malformed("not a picture: planes of other sizes")
    return picture


def _pack_pixels(pixels: Image, quality: int | None, parts: list[Bytes]) -> PixelsEntry:
    height, width = pixels.shape[:2]
    parts.append(pixels if quality is None else jpeg.encode(pixels, quality))
    return PixelsEntry(width, height, "bgr" if quality is None else "jpeg")


def _unpack_pixels(entry: PixelsEntry, supply: _Supply) -> Image:
    if entry.kind == "bgr":
        return supply.next(entry.height * entry.width * 3).reshape(entry.height, entry.width, 3)
    try:
        return jpeg.decode(supply.next(), entry.width, entry.height)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _pack_all(results: Mapping[Kind[Any], Any], quality: int | None, parts: list[Bytes]) -> tuple[KindEntry, ...]:
    """Raises ValueError: a result cannot cross."""
    entries = []
    for kind, result in results.items():
        try:
            entries.append(_pack_result(kind, result, quality, parts))
        except ValueError as error:
            raise ValueError(f"the result {kind.key!r} cannot cross: {error}") from None
    return tuple(entries)


def _pack_result(kind: Kind[Any], result: Any, quality: int | None, parts: list[Bytes]) -> KindEntry:
    value, arrays = kind.packed(result)
    if len(arrays) > MOST_ARRAYS:
        raise ValueError(f"it has {len(arrays)} arrays: expected at most {MOST_ARRAYS}")
    as_jpeg = quality if kind.is_picture else None
    return KindEntry(kind.key, value, tuple(_pack_array(np.asarray(array), as_jpeg, parts) for array in arrays))


def _pack_array(array: NDArray[Any], quality: int | None, parts: list[Bytes]) -> ArrayEntry:
    plain = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    if plain.dtype.str not in DTYPES or plain.ndim > MOST_AXES:
        raise ValueError(
            f"it has an array {array.dtype} {array.shape}: expected booleans, integers or floats of at most 8 bytes, "
            f"in at most {MOST_AXES} axes"
        )
    parts.append(plain.reshape(-1).view(np.uint8) if quality is None else jpeg.encode(plain, quality))
    return ArrayEntry(plain.dtype.str, plain.shape, jpeg=quality is not None)  # type: ignore[arg-type]  # one of DTYPES


def _unpack_all(entries: Sequence[KindEntry], supply: _Supply, kinds: Kinds) -> dict[Kind[Any], Any]:
    results: dict[Kind[Any], Any] = {}
    for entry in entries:
        kind = kinds.get(entry.key)
        if kind is None or kind in results:
            raise Malformed(f"the result {entry.key[:80]!a}: expected one of {', '.join(kinds) or 'none'}, once")
        arrays = tuple(_unpack_array(array, supply) for array in entry.arrays)
        if not kind.is_picture and not supply.copies:  # a stage may keep a result, and the memory belongs to the client
            arrays = tuple(np.array(array) for array in arrays)
        try:
            results[kind] = kind.unpacked(entry.value, arrays)
        except (ValueError, TypeError) as error:
            raise Malformed(f"not a result {kind.key!r}: {error}") from None
    return results


def _unpack_array(entry: ArrayEntry, supply: _Supply) -> NDArray[Any]:
    if entry.jpeg:
        if len(entry.shape) != 3:
            raise Malformed("a JPEG that is not a picture")
        height, width, _ = entry.shape
        try:
            return jpeg.decode(supply.next(), width, height)
        except ValueError as error:
            raise Malformed(str(error)) from None
    dtype = np.dtype(entry.dtype)
    part = supply.next(math.prod(entry.shape) * dtype.itemsize)
    if dtype == np.bool_ and part.max(initial=0) > 1:
        raise Malformed("an array of booleans with other values")
    try:
        return part.view(dtype).reshape(entry.shape)
    except ValueError:  # a shape of no elements may have sides that NumPy does not allow
        raise Malformed("an array of a shape that is too large") from None
