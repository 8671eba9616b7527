"""Instances as a result: objects with their pixels, as the segmenter gives them."""

from typing import TYPE_CHECKING

from watchline.ops.detections import Detections
from watchline.pipeline.kinds import detections
from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas


def _draw(canvas: "Canvas", found: Detections) -> None:
    """The pixels alone: the detector has drawn boxes and names."""
    if found.masks is not None:
        canvas.masks(found.masks, [canvas.colour_of(name) for name in found.names.tolist()])


INSTANCES: Kind[Detections] = Kind(
    "instances",
    Detections,
    as_json=Detections.to_dicts,
    schema={**detections.SCHEMA, "description": "Objects and their pixels, best score first"},
    draw=_draw,
    pack=detections.pack,
    unpack=detections.unpack,
)
