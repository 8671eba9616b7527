"""Items as bytes: an entry for the header, and the pixels and arrays as raw parts beside it.

    entries, parts = pack(items, quality=None)      a request, as the hub sends it …
    items = unpack(entries, parts)                  … and as the stage gets it
    entries, parts = pack_results(items, done, quality=None)
    done = merge(items, entries, parts)             what the stage found, put into the items that the hub has kept

The parts of an item follow one another in the order in which its entry names them. Numbers are little-endian. What does
not hold raises Malformed before anything is made of the size it claims.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote.protocol import (
    DetectionsEntry,
    ItemEntry,
    Malformed,
    PixelsEntry,
    PlanesEntry,
    ResultEntry,
)
from watchline.streams import jpeg
from watchline.streams.decoded import DecodedPicture
from watchline.streams.frame import ArrayPicture, Frame, Image, Picture
from watchline.streams.planes import PLANAR, Planes, least_shapes

Bytes = NDArray[np.uint8]
ROW = np.dtype([("box", "<f4", (4,)), ("score", "<f4"), ("class", "<i8")])  # a detection


def pack(items: Sequence[Item], quality: int | None) -> tuple[tuple[ItemEntry, ...], list[Bytes]]:
    """The entries of items, and their parts: views where pixels cross as they are.

    Args:
        quality: of JPEG, 1 to 100; None sends what the decoder gave, or BGR.
    """
    parts: list[Bytes] = []
    entries = []
    for item in items:
        frame = item.frame
        entries.append(
            ItemEntry(
                sequence=item.sequence,
                stream=frame.stream,
                index=frame.index,
                pts=frame.pts,
                time_base=(frame.time_base.numerator, frame.time_base.denominator),
                picture=_pack_picture(frame.picture, quality, parts),
                file=frame.file,
                epoch=frame.epoch,
                time=frame.time,
                detections=None if item.detections is None else _pack_detections(item.detections, parts),
                drawn=None if item.drawn is None else _pack_pixels(item.drawn, quality, parts),
            )
        )
    return tuple(entries), parts


def unpack(entries: Sequence[ItemEntry], parts: Sequence[Bytes]) -> list[Item]:
    """The items of a request. Their pixels are views of the parts, their detections are not.

    Raises:
        Malformed: parts and entries do not fit together.
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
        found = None if entry.detections is None else _unpack_detections(entry.detections, supply)
        drawn = None if entry.drawn is None else _unpack_pixels(entry.drawn, supply)
        items.append(Item(entry.sequence, frame, found, drawn))
    supply.end()
    return items


def pack_results(
    given: Sequence[Item], done: Sequence[Item], quality: int | None
) -> tuple[tuple[ResultEntry, ...], list[Bytes]]:
    """The entries of what a stage set in the items it was given, and their parts.

    Raises:
        StageError: it did not give back an item for each, in its place, or something that is no picture.
    """
    places = {(item.stream, item.sequence): item for item in done}
    if len(done) != len(given) or places.keys() != {(item.stream, item.sequence) for item in given}:
        raise StageError(f"the stage gave {len(done)} items for {len(given)}: expected one for each, in its place")
    parts: list[Bytes] = []
    entries = []
    for before in given:
        after = places[before.stream, before.sequence]
        found = after.detections if after.detections is not before.detections else None
        drawn = after.drawn if after.drawn is not before.drawn else None
        if drawn is not None and (drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] != 3):
            raise StageError(f"the stage drew {drawn.dtype} {drawn.shape}: expected uint8 (height, width, 3)")
        entries.append(
            ResultEntry(
                None if found is None else _pack_detections(found, parts),
                None if drawn is None else _pack_pixels(drawn, quality, parts),
            )
        )
    return tuple(entries), parts


def merge(items: Sequence[Item], entries: Sequence[ResultEntry], parts: Sequence[Bytes]) -> list[Item]:
    """The items with what came back for them. Nothing in them is a view of the parts.

    Raises:
        Malformed: parts and entries do not fit together or to the items.
    """
    if len(entries) != len(items):
        raise Malformed(f"{len(entries)} results for {len(items)} items")
    supply = _Supply(parts)
    done = []
    for item, entry in zip(items, entries, strict=True):
        changes: dict[str, Any] = {}
        if entry.detections is not None:
            changes["detections"] = _unpack_detections(entry.detections, supply)
        if entry.drawn is not None:
            changes["drawn"] = np.array(_unpack_pixels(entry.drawn, supply))
        done.append(replace(item, **changes))
    supply.end()
    return done


class _Supply:
    """Gives out parts one after another."""

    def __init__(self, parts: Sequence[Bytes]) -> None:
        self._parts: Iterator[Bytes] = iter(parts)

    def next(self, length: int | None = None) -> Bytes:
        """Raises Malformed: there is none left, or it has not `length` bytes."""
        part = next(self._parts, None)
        if part is None or (length is not None and len(part) != length):
            raise Malformed("a part is missing" if part is None else f"a part of {len(part)} bytes, not of {length}")
        return part

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
        raise Malformed(f"no picture: {error}") from None
    exact = entry.format in PLANAR
    fits = len(entry.shapes) == len(least) and all(
        rows == least_rows and (width == least_width if exact else width >= least_width)
        for (rows, width), (least_rows, least_width) in zip(entry.shapes, least, strict=True)
    )
    if not fits:
        raise Malformed("no picture: planes of other sizes")
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


def _pack_detections(found: Detections, parts: list[Bytes]) -> DetectionsEntry:
    rows = np.empty(len(found), ROW)
    rows["box"], rows["score"], rows["class"] = found.boxes, found.scores, found.classes
    parts.append(rows.view(np.uint8))
    return DetectionsEntry(len(found), found.labels)


def _unpack_detections(entry: DetectionsEntry, supply: _Supply) -> Detections:
    rows = supply.next(entry.count * ROW.itemsize).view(ROW)
    try:
        return Detections(
            np.array(rows["box"], np.float32),
            np.array(rows["score"], np.float32),
            np.array(rows["class"], np.int64),
            entry.labels,
        )
    except ValueError as error:
        raise Malformed(f"no detections: {error}") from None
