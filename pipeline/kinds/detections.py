"""Detections as a result: the detector gives them, whoever tracks or filters gives them again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.pipeline.kinds.kind import Kind, Packed

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

MOST = 100_000  # detections of a frame that another process may send
COLUMNS = ("xyxy", "confidence", "class_id", "tracker_id", "mask")

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
            "tracker_id": {"type": "integer", "description": "The number of its track, where a stage tracks"},
        },
    },
}


def _summary(found: Detections) -> str:
    return f"{len(found)} detection{'' if len(found) == 1 else 's'}"


def _draw(canvas: "Canvas", found: Detections) -> None:
    canvas.detections(found)


def _pack(found: Detections) -> Packed:
    columns = {name: column for name in COLUMNS if (column := getattr(found, name)) is not None}
    value = {"labels": list(found.labels), "columns": list(columns), "data": list(found.data)}
    return value, (*columns.values(), *found.data.values())


def _unpack(value: Any, arrays: tuple[NDArray[Any], ...]) -> Detections:
    match value:
        case {"labels": list(labels), "columns": list(columns), "data": list(data)}:
            names = [*columns, *data]
        case _:
            raise ValueError("expected labels and columns")
    texts = all(isinstance(name, str) for name in (*labels, *names))
    if not texts or not set(COLUMNS[:3]) <= set(columns) <= set(COLUMNS) or len(names) != len(arrays):
        raise ValueError("expected the columns of detections")
    if any(array.ndim == 0 or len(array) > MOST for array in arrays):
        raise ValueError(f"expected at most {MOST} detections")
    given = dict(zip(columns, arrays, strict=False))
    return Detections(**given, labels=tuple(labels), data=dict(zip(data, arrays[len(columns) :], strict=True)))


DETECTIONS: Kind[Detections] = Kind(
    "detections",
    Detections,
    as_json=Detections.to_dicts,
    schema=SCHEMA,
    draw=_draw,
    summary=_summary,
    pack=_pack,
    unpack=_unpack,
)
