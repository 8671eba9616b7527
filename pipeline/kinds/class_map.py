"""Class maps as a result: the segmenter gives them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from watchline.ops.class_map import ClassMap
from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "The class of every pixel, on a plane that covers the whole picture",
    "required": ["size", "classes"],
    "additionalProperties": False,
    "properties": {
        "size": {
            "description": "Height and width of the plane in pixels",
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
        },
        "classes": {
            "type": "array",
            "description": "The classes that are there, the largest first",
            "items": {
                "type": "object",
                "required": ["label", "class", "share"],
                "additionalProperties": False,
                "properties": {
                    "label": {"type": "string", "minLength": 1},
                    "class": {"type": "integer", "minimum": 0, "description": "Index into the model's labels"},
                    "share": {"type": "number", "minimum": 0, "maximum": 1, "description": "Of the picture"},
                    "counts": {
                        "type": "string",
                        "description": "COCO's run lengths of its pixels, for this size; missing without `pixels`",
                    },
                },
            },
        },
    },
}


def _draw(canvas: "Canvas", found: ClassMap) -> None:
    canvas.class_map(found)


CLASS_MAP: Kind[ClassMap] = Kind("class_map", ClassMap, as_json=ClassMap.to_dict, schema=SCHEMA, draw=_draw)
