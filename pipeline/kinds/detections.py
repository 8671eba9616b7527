"""Detections as a result: the detector gives them, whoever tracks or filters gives them again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.ops.masks import LARGEST_SIDE, Masks
from watchline.pipeline.kinds.kind import Kind, Packed

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

MOST = 100_000  # detections of a frame that another process may send
MOST_PIXELS = 1 << 28  # of a frame's masks together: 8 planes of 8K
COLUMNS = ("xyxy", "confidence", "class_id", "tracker_id", "predicted")

SCHEMA: Mapping[str, Any] = {
    "type": "array",
    "description": "What was found, best score first",
    "items": {
        "type": "object",
        "required": ["label", "class", "score", "box"],
        "additionalProperties": False,
        "properties": {
            "label": {"type": "string", "minLength": 1},
            "class": {"type": "integer", "minimum": 0, "description": "Index into the model's labels"},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "box": {
                "description": "x1, y1, x2, y2 in pixels of the picture; the right and lower edges are outside",
                "type": "array",
                "items": {"type": "number"},
                "minItems": 4,
                "maxItems": 4,
            },
            "track": {
                "type": "integer",
                "minimum": 0,
                "description": "The number of its track, where a stage tracks and it has one",
            },
            "predicted": {
                "const": True,
                "description": "No detector looked at this frame: it is where the object of its track must be",
            },
            "segmentation": {
                "type": "object",
                "description": "The pixels of the object in COCO's run lengths, where a model finds them",
                "required": ["size", "counts"],
                "additionalProperties": False,
                "properties": {
                    "size": {
                        "description": "Height and width of the picture",
                        "type": "array",
                        "items": {"type": "integer", "minimum": 1},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                    "counts": {"type": "string"},
                },
            },
        },
    },
}


def _part(found: Detections) -> list[dict[str, Any]] | None:
    """None where nobody looked and no track is known: an empty list says that a detector found nothing."""
    return found.to_dicts() if len(found) or found.predicted is None else None


def _summary(found: Detections) -> str:
    return f"{len(found)} detection{'' if len(found) == 1 else 's'}" + (
        ", predicted" if found.predicted is not None else ""
    )


def _draw(canvas: "Canvas", found: Detections) -> None:
    canvas.detections(found)


def pack(found: Detections) -> Packed:
    """The columns as they are; of masks the crops, a bit a pixel."""
    columns = {name: column for name in COLUMNS if (column := getattr(found, name)) is not None}
    masks = found.masks
    value = {
        "labels": list(found.labels),
        "columns": list(columns),
        "data": list(found.data),
        "masks": None if masks is None else list(masks.size),
    }
    crops = () if masks is None else (masks.extent, np.packbits(masks.bits))
    return value, (*columns.values(), *found.data.values(), *crops)


def unpack(value: Any, arrays: tuple[NDArray[Any], ...]) -> Detections:
    """Raises ValueError: they are no detections, or more than a frame may have."""
    match value:
        case {"labels": list(labels), "columns": list(columns), "data": list(data), "masks": masked}:
            names = [*columns, *data]
        case _:
            raise ValueError("expected labels, columns and masks")
    crops = arrays[len(names) :]
    texts = all(isinstance(name, str) for name in (*labels, *names))
    fitting = texts and set(COLUMNS[:3]) <= set(columns) <= set(COLUMNS) and len(names) <= len(arrays)
    if not fitting or len(crops) != (0 if masked is None else 2):
        raise ValueError("expected the columns of detections")
    if any(array.ndim == 0 or len(array) > MOST for array in arrays[: len(names)]):
        raise ValueError(f"expected at most {MOST} detections")
    given: dict[str, Any] = dict(zip(columns, arrays, strict=False))
    if masked is not None:
        extent, bits = crops
        given["masks"] = _unpack_masks(masked, extent, bits, len(arrays[0]))
    more = dict(zip(data, arrays[len(columns) : len(names)], strict=True))
    return Detections(**given, labels=tuple(labels), data=more)


def _unpack_masks(size: Any, extent: NDArray[Any], packed: NDArray[Any], count: int) -> Masks:
    """Masks from their crops and the bits of these.

    Raises:
        ValueError: they are not those of `count` objects, or have more pixels than a frame's may; it is said before
            any memory is taken.
    """
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise ValueError("expected the height and the width of masks")
    if extent.dtype != np.int32 or extent.shape != (count, 4) or packed.dtype != np.uint8 or packed.ndim != 1:
        raise ValueError(f"expected the crops of {count} masks, and their bits")
    sides = (extent[:, 2:].astype(np.int64) - extent[:, :2]).clip(0)
    pixels = int(sides.prod(axis=1).sum()) if sides.max(initial=0) <= LARGEST_SIDE else MOST_PIXELS + 1
    if pixels > MOST_PIXELS or len(packed) != (pixels + 7) // 8:
        raise ValueError(f"expected the bits of masks, as many as their crops have pixels and at most {MOST_PIXELS}")
    return Masks((size[0], size[1]), extent, np.unpackbits(packed, count=pixels).view(np.bool_))


DETECTIONS: Kind[Detections] = Kind(
    "detections",
    Detections,
    as_json=_part,
    schema=SCHEMA,
    draw=_draw,
    summary=_summary,
    pack=pack,
    unpack=unpack,
)
