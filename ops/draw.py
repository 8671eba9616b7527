"""Draws detections on a picture in one call."""

from collections.abc import Iterable

from watchline.ops.canvas import Canvas
from watchline.ops.colours import Colours
from watchline.ops.detections import Detections
from watchline.ops.errors import WrongType
from watchline.ops.tabs import Image


def draw(
    image: Image,
    detections: Detections,
    *,
    line_width: int | None = None,
    labels: bool | Iterable[str] = True,
    info: tuple[str, ...] = (),
    colours: Colours = None,
) -> Image:
    """Draw detections on a picture, with their masks if they have any.

        picture = watchline.draw(frame.image, detections, colours={"person": (0, 0, 255)})

    Args:
        image: (H, W, 3) uint8 BGR; it is not changed.
        detections: in the picture's pixels; clipped to the picture. The best is drawn on top.
        line_width: of the boxes in pixels, inside their edges; None follows the picture's size.
        labels: whether class, track (if any) and score are written at each box; or one text per detection. A text that
            does not fit into the picture is left out.
        info: parts of the line in the top left corner. If not all fit, the first ones are left out.
        colours: (blue, green, red) for all, or by class name; None, and classes that are not named: the class's usual
            colour.

    Returns:
        (H, W, 3) uint8 BGR: a copy, or `image` itself if there is nothing to draw.

    Raises:
        WrongType (a TypeError), DrawingError (a ValueError): an argument is not valid; the message says what is
        expected.
    """
    if not isinstance(detections, Detections):
        raise WrongType(f"detections are of type {type(detections).__name__}: expected Detections")
    if isinstance(labels, str) or not isinstance(labels, bool | Iterable):
        raise WrongType(f"labels is {labels!r}: expected True, False, or a text for each of the detections")
    canvas = Canvas(image, line_width, labels=labels is not False)
    canvas.detections(detections, texts=None if isinstance(labels, bool) else [*map(str, labels)], colours=colours)
    canvas.info(info)
    return canvas.picture()
