"""PASCAL VOC's annotation of a picture, an XML: its boxes, the names of their classes, and which are difficult.

VOC counts pixels from 1 and includes the last one, so its box becomes (xmin - 1, ymin - 1, xmax, ymax). Files may come
from anybody: no entity of an XML is expanded.
"""

from dataclasses import dataclass
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes
from watchline.ops.errors import AnnotationRefused

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is in a picture.

    Attributes:
        boxes: (M, 4) float32 xyxy in pixels, half-open.
        names: of the M classes, as the data set spells them.
        difficult: (M,) bool: need not be found.
        size: (width, height) of the picture that was labelled; None if it is not written.
    """

    boxes: Boxes
    names: tuple[str, ...]
    difficult: NDArray[np.bool_]
    size: tuple[int, int] | None = None


def parse(xml: bytes, photo: tuple[int, int] | None = None) -> Annotation:
    """The annotation in the bytes of a file.

    Args:
        xml: the bytes.
        photo: (width, height) of the picture. With None, nobody checks that the boxes are of this picture.

    Raises:
        AnnotationRefused: it is not an annotation, it is about another picture, or an object is not valid. The message
            continues the name of the file.
    """
    root = _root(xml)
    if photo is not None:
        _check_size(root, photo)
    objects = root.findall("object")
    names = tuple(_name(item) for item in objects)
    boxes = np.array([_box(item, photo) for item in objects], np.float32).reshape(-1, 4)
    return Annotation(boxes, names, np.array([_difficult(item) for item in objects], np.bool_), _size(root))


class _Builder(ElementTree.TreeBuilder):
    """Refuses documents that define entities: a few lines of them grow to gigabytes, or name files to read."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        """The parser calls this before it looks at any definition."""
        raise AnnotationRefused("it has a DOCTYPE")


def _root(xml: bytes) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(xml, ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, AnnotationRefused, LookupError) as error:  # LookupError: unknown encoding
        raise AnnotationRefused(f"is no annotation: {error}; expected plain XML as VOC writes it") from error
    if root.tag != "annotation":
        raise AnnotationRefused(f"begins with <{root.tag}>: expected <annotation>, as VOC writes it")
    return root


def _check_size(root: ElementTree.Element, photo: tuple[int, int]) -> None:
    """Boxes of another picture, or of one that was scaled since, would give figures that mean nothing."""
    written = (root.findtext("size/width", "0").strip(), root.findtext("size/height", "0").strip())
    if written not in (("0", "0"), tuple(map(str, photo))):
        raise AnnotationRefused(
            f"is about a picture of {' x '.join(written)} pixels, the photo has {photo[0]} x {photo[1]}: "
            "expected the photo that was labelled"
        )


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Some tools write 0 x 0, or nothing."""
    sides = [root.findtext(f"size/{side}", "0").strip() for side in ("width", "height")]
    width, height = (int(side) if side.isdecimal() and len(side) < 10 else 0 for side in sides)
    return (width, height) if width and height else None


def _name(item: ElementTree.Element) -> str:
    name = item.findtext("name", "").strip()
    if not name:
        raise AnnotationRefused("has an object without a name: expected <name> of its class")
    return name


def _box(item: ElementTree.Element, photo: tuple[int, int] | None) -> list[float]:
    texts = [item.findtext(f"bndbox/{side}", "nothing").strip() for side in SIDES]
    shown = ", ".join(f"{side} {text}" for side, text in zip(SIDES, texts, strict=True))
    try:
        xmin, ymin, xmax, ymax = map(float, texts)
    except ValueError:
        raise AnnotationRefused(f"has the box {shown}: expected four numbers") from None
    if photo is not None:
        width, height = photo
        # A pixel outside is allowed, as some tools count from 0; `not` catches NaN as well.
        if not (0 <= xmin <= xmax <= width + 1 and 0 <= ymin <= ymax <= height + 1):
            raise AnnotationRefused(
                f"has the box {shown}: expected xmin <= xmax and ymin <= ymax inside 1..{width} x 1..{height}"
            )
    return [xmin - 1, ymin - 1, xmax, ymax]


def _difficult(item: ElementTree.Element) -> bool:
    text = item.findtext("difficult", "0").strip()
    if text not in ("0", "1"):
        raise AnnotationRefused(f"has an object whose difficult is {text!r}: expected 0 or 1")
    return text == "1"
