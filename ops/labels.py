"""Where labels go: at their boxes, over no other text, and over as little as possible of other boxes."""

from collections.abc import Iterator, Sequence

Place = tuple[int, int]
Box = tuple[int, int, int, int]


def places(
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Sequence[int]],
    taken: Sequence[Box],
    width: int,
    height: int,
) -> list[Place | None]:
    """The upper left corner of each label.

    Above the box if that covers nothing, else below it or, if those cover more, inside it.

    Args:
        sizes: width and height of each label in pixels, the most important first.
        boxes: of each label: left, top, right, bottom in whole pixels, inside the picture.
        taken: what no label may cover, as boxes.
        width, height: of the picture.

    Returns:
        (x, y) per label; None where no place is left, so less important labels give way.
    """
    texts = list(taken)
    found: list[Place | None] = []
    for size, box in zip(sizes, boxes, strict=True):
        best, least = None, 0
        for option in _options(size, box, texts, width, height):
            if any(_shared(option, text) for text in texts):
                continue
            covered = sum(_shared(option, each) for each in boxes)
            if best is None or covered < least:
                best, least = option, covered
            if not covered:
                break
        if best is not None:
            texts.append(best)
        found.append(best and best[:2])
    return found


def _options(size: tuple[int, int], box: Sequence[int], texts: Sequence[Box], width: int, height: int) -> Iterator[Box]:
    """The places of a label that are inside the picture, the usual ones first."""
    w, h = size
    x1, y1, x2, y2 = box
    left, right, inside = min(x1, width - w), max(x2 - w, 0), min(y1, height - h)
    corner = (left, inside, left + w, inside + h)
    under = max((text[3] for text in texts if _shared(corner, text)), default=inside)
    for y in (y1 - h, y2, inside, under):
        if 0 <= y <= height - h:
            yield from ((x, y, x + w, y + h) for x in (left, right))


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Pixels that two boxes share."""
    if a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]:
        return 0
    return (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
