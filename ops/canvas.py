"""Draws on a picture: boxes, masks, lines, texts and an info line, for the results of any stage.

    canvas = Canvas(pixels)
    canvas.detections(found)
    canvas.polygon(zone, colour)
    canvas.info(("gate", "3 in the zone"))
    drawn = canvas.picture()

The width of lines and the size of text follow the picture's size. Text stays inside the picture. A class has the same
colour everywhere.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchline.ops import blocks, class_map, labels, tabs
from watchline.ops.boxes import clip
from watchline.ops.class_map import ClassMap
from watchline.ops.colours import Colour, Colours, as_colour, chooser, track_colour
from watchline.ops.detections import Detections
from watchline.ops.errors import DrawingError, WrongType
from watchline.ops.masks import Masks
from watchline.ops.tabs import WHITE, Image

OPACITY = 0.4  # of masks and class maps
LEAST_SHARE = 0.01  # of the picture, from which a class stands in the legend
FAR = 1e6  # largest coordinate in pixels; OpenCV takes integers of 32 bits


class Canvas:
    """Collects what is drawn on one picture; `picture` draws it, on a copy if nothing else is said.

    In any order of the calls, class maps are drawn first, then masks, then lines and outlines, then the info line, the
    caption and the legend, then texts, which avoid the info line, then labels, which avoid all texts and one another.
    Of two things of the same kind, the later one is on top.

    Args:
        pixels: (H, W, 3) uint8 BGR; they are not changed, unless `in_place`.
        line_width: of boxes and lines in pixels; None follows the picture's size.
        labels: whether class and score are written at each box. A label wider than twice its box has no score, or, if
            that is too wide as well, no name. A label for which there is no room is left out.
        colours: of classes, where a call names none: one for all, or by class name.
        text_size: pixels from line to line; None follows the picture's size.
        in_place: draw on `pixels` themselves; a copy of 1080p takes as long as all else that is drawn.

    Attributes:
        width, height: of the picture, in pixels.
        line_width: of boxes and lines, in pixels.
        colour_of: the colour of a class.

    Raises:
        WrongType, DrawingError: `pixels` is not such a picture, `line_width` or `text_size` is less than 1, or a colour
            is not valid.
    """

    def __init__(
        self,
        pixels: Image,
        line_width: int | None = None,
        labels: bool = True,
        colours: Colours = None,
        text_size: int | None = None,
        in_place: bool = False,
    ) -> None:
        if not isinstance(pixels, np.ndarray):
            raise WrongType(
                f"cannot draw on a {type(pixels).__name__}: expected an array, uint8 (height, width, 3), BGR, "
                "such as frame.image"
            )
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise DrawingError(f"cannot draw on {pixels.dtype} {pixels.shape}: expected uint8 (height, width, 3), BGR")
        for what, pixels_of in (("line_width", line_width), ("text_size", text_size)):
            if pixels_of is not None and pixels_of < 1:
                raise DrawingError(
                    f"{what} {pixels_of}: expected at least 1 pixel, or None to follow the picture's size"
                )
        self.height, self.width = pixels.shape[:2]
        self.line_width = line_width or _line_width(self.width, self.height)
        self._pixels = pixels
        self._is_in_place = in_place
        self._are_labelled = labels
        self.colour_of = chooser(colours)
        self._are_named = colours is not None
        self._text_size = text_size or tabs.text_size(self.width, self.height)
        self._layers: list[Callable[[Image], None]] = []
        self._legend: list[tuple[str, Colour]] = []
        self._caption = ""
        self._fills: list[Callable[[Image], None]] = []
        self._lines: list[Callable[[Image], None]] = []
        self._texts: list[tuple[Image, int, int]] = []
        self._labels: list[tuple[Image, list[int]]] = []  # with their boxes
        self._info: tuple[str, ...] = ()

    def detections(self, found: Detections, *, texts: Sequence[str] | None = None, colours: Colours = None) -> None:
        """Draw detections: boxes, masks if there are any, and labels (class, track if any, score). The best is on top.
        Who has a track has its colour, unless colours are named.

        Args:
            found: in the picture's pixels; clipped to the picture.
            texts: one per detection, instead of the labels.
            colours: one for all, or by class name; None, and classes that are not named: the class's usual colour.

        Raises:
            DrawingError: the masks have another size than the picture, the number of texts is not that of the
                detections, or a colour is not valid.
        """
        if texts is not None and len(texts) != len(found):
            raise DrawingError(f"{len(texts)} labels for {len(found)} detections: expected as many")
        own = self._colours(found, colours)
        if found.masks is not None:
            self.masks(found.masks, own)
        rows, boxes = _visible(found.xyxy, self.width, self.height)
        names = [found.labels[number] for number in found.class_id[rows].tolist()]
        lines = _labels(found, rows, names) if texts is None else [(texts[row],) for row in rows]
        for row, box, line in zip(rows.tolist(), boxes, lines, strict=True):
            self._box(box, line, own[row])

    def box(
        self,
        xyxy: ArrayLike,
        name: str,
        score: float | None = None,
        *,
        text: str | None = None,
        colour: Colour | None = None,
    ) -> None:
        """Draw one box, with its line inside its edges and a label above it.

        Args:
            xyxy: left, top, right, bottom in pixels, half-open; clipped to the picture.
            name: of its class, which decides the colour.
            score: written after the name, if given.
            text: the label instead of name and score; "" for none.
            colour: replaces the class's colour.
        """
        edges = np.asarray(xyxy, np.float32)
        if edges.shape != (4,):
            raise DrawingError(f"a box of shape {edges.shape}: expected (4,), left, top, right, bottom")
        for box in _visible(edges[None], self.width, self.height)[1]:
            line = (name,) if score is None else (f"{name} {score:.2f}", name, "")
            self._box(box, line if text is None else (text,), as_colour(colour) if colour else self.colour_of(name))

    def masks(self, masks: Masks, colours: Sequence[Colour]) -> None:
        """Tint the pixels of objects, and draw their outlines inside their edges; the first is on top.

        Args:
            masks: of a picture of this size.
            colours: one per object.

        Raises:
            DrawingError: the masks have another size than the picture.
        """
        if masks.size != (self.height, self.width):
            raise DrawingError(f"masks are of a picture of {masks.size}: expected {(self.height, self.width)}")
        for (x1, y1, x2, y2, crop), colour in reversed(list(zip(masks, colours, strict=True))):
            if crop.size:
                region, bits = np.s_[y1:y2, x1:x2], crop.view(np.uint8)
                self._fills.append(
                    partial(_tint, region=region, bits=bits, colour=as_colour(colour), thickness=self.line_width)
                )

    def mask(self, mask: NDArray[np.bool_], colour: Colour = WHITE) -> None:
        """The same for one object as a whole plane (H, W) bool.

        Raises:
            DrawingError: the mask does not have the picture's size.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != (self.height, self.width):
            raise DrawingError(
                f"a mask is {mask.dtype} {mask.shape}: expected bool {(self.height, self.width)}, as the picture"
            )
        self.masks(Masks.of(mask[None]), [colour])

    def class_map(self, found: ClassMap) -> None:
        """Tint each pixel by its class, below everything else, and name the classes in the lower left corner."""
        self._layers.append(partial(class_map.tint, found=found, colour_of=self.colour_of, opacity=OPACITY))
        shares = found.shares
        for number in np.argsort(-shares, kind="stable").tolist():
            if shares[number] >= LEAST_SHARE:
                name = found.labels[number]
                self._legend.append((f"{name} {shares[number]:.0%}", self.colour_of(name)))

    def caption(self, text: str) -> None:
        """Write a text at the lower edge, in several lines if it is long, instead of the one before."""
        self._caption = text

    def polygon(self, points: ArrayLike, colour: Colour = WHITE) -> None:
        """Draw the outline of a zone. Args: points (N, 2), N >= 3, x and y in pixels, maybe outside the picture."""
        self._path(points, 3, True, colour)

    def trail(self, points: ArrayLike, number: int) -> None:
        """Draw where a track has been, in its colour. Args: points (N, 2), N >= 2, x and y in pixels."""
        self._path(points, 2, False, track_colour(number))

    def line(self, a: ArrayLike, b: ArrayLike, colour: Colour = WHITE) -> None:
        """Draw a straight line. Args: its ends a and b, x and y in pixels; they may be outside the picture."""
        self._path((a, b), 2, False, colour)

    def text(self, at: ArrayLike, text: str, colour: Colour = WHITE, end: str = "") -> None:
        """Draw a text on a coloured bar, always inside the picture.

        Args:
            at: x and y in pixels of its lower left corner, or of its upper left corner if there is no room above.
            text: is shortened if the picture is too narrow.
            end: is written behind it, and shortened only if the picture is too narrow for the end alone.
        """
        [(x, y)] = _points((at,), 1).tolist()
        self._write(text, min(max(x, 0), self.width), min(max(y, 0), self.height), as_colour(colour), end)

    def info(self, parts: Sequence[str]) -> None:
        """Add parts to the line in the top left corner. If not all fit, the first ones are left out."""
        self._info += tuple(parts)

    def picture(self) -> Image:
        """(H, W, 3) uint8 BGR: a copy with everything drawn on it, or the given pixels: drawn on, if that was said, or
        if there is nothing to draw.
        """
        size = self._text_size
        line = tabs.line_that_fits(self._info, self.width, self.height, size)
        if not (self._layers or self._fills or self._lines or self._texts or line or self._caption):
            return self._pixels
        picture = self._pixels if self._is_in_place else self._pixels.copy()
        for mark in (*self._layers, *self._fills, *self._lines):
            mark(picture)
        taken = [tabs.write_darkened(picture, line, size)] if line else []
        corner = taken[0][2:] if line else (0, 0)
        caption = blocks.put_caption(picture, self._caption, size)
        bottom = min([self.height, *(top for _, top, _, _ in caption)])
        taken += caption + blocks.put_legend(picture, self._legend, size, bottom)
        for tab, x, y in self._texts:
            left, top = tabs.place(tab, x, y, corner, self.width, self.height)
            taken.append(tabs.put(picture, tab, left, top))
        self._put_labels(picture, taken)
        return picture

    def _put_labels(self, picture: Image, taken: list[tuple[int, int, int, int]]) -> None:
        best_first = self._labels[::-1]
        sizes = [(tab.shape[1], tab.shape[0]) for tab, _ in best_first]
        boxes = [box for _, box in best_first]
        found = labels.places(sizes, boxes, taken, self.width, self.height)
        for (tab, _), place in zip(best_first, found, strict=True):
            if place is not None:
                tabs.put(picture, tab, *place)

    def _box(self, box: list[int], line: tuple[str, ...], colour: Colour) -> None:
        """Args: line, what to write there; if it is too wide, the next one."""
        stripe = _stripe(colour, self.width)
        self._lines.append(partial(_outline, box=box, stripe=stripe, thickness=self.line_width))
        for text in line if self._are_labelled else ():
            tab = tabs.tab(text, colour, self._text_size, self.width) if text else None
            if tab is None or len(line) == 1 or tab.shape[1] <= 2 * (box[2] - box[0]):
                break
        else:
            tab = None
        if tab is not None:
            self._labels.append((tab, box))

    def _colours(self, found: Detections, colours: Colours) -> list[Colour]:
        """Of each detection."""
        chosen = self.colour_of if colours is None else chooser(colours)
        by_class = [chosen(name) for name in found.names.tolist()]
        if found.tracker_id is None or colours is not None or self._are_named:
            return by_class
        numbers = found.tracker_id.tolist()
        return [track_colour(n) if n >= 0 else own for n, own in zip(numbers, by_class, strict=True)]

    def _write(self, text: str, x: int, y: int, colour: Colour, end: str) -> None:
        tab = tabs.tab(text, colour, self._text_size, self.width, end)
        if tab is not None and len(tab) <= self.height:
            self._texts.append((tab, x, y))

    def _path(self, points: ArrayLike | tuple[ArrayLike, ...], least: int, closed: bool, colour: Colour) -> None:
        corners, colour = _points(points, least), as_colour(colour)
        self._lines.append(partial(_stroke, corners=corners, closed=closed, colour=colour, thickness=self.line_width))


def _labels(found: Detections, rows: NDArray[np.intp], names: list[str]) -> list[tuple[str, ...]]:
    """Of some rows: class, track if there is one, and score, and what to write instead where that is too wide:
    ("person #7 0.91", "person #7", "#7", "").
    """
    tracks = (
        [""] * len(names)
        if found.tracker_id is None
        else [f"#{n}" if n >= 0 else "" for n in found.tracker_id[rows].tolist()]
    )
    scores = found.confidence[rows].tolist()
    lines = (
        (f"{name} {track}".rstrip(), track, score) for name, track, score in zip(names, tracks, scores, strict=True)
    )
    return [(f"{name} {score:.2f}", name, *([track] if track else []), "") for name, track, score in lines]


def _line_width(width: int, height: int) -> int:
    """2 pixels up to 720p, 3 at 1080p, 4 at 4K. Only thumbnails have 1, because video codecs bleach such thin lines."""
    return round(1.2 + tabs.scale(width, height) / 900)


def _visible(boxes: NDArray[np.float32], width: int, height: int) -> tuple[NDArray[np.intp], list[list[int]]]:
    """Indices of the boxes that cover a pixel of the picture, the last (worst) first, and these boxes as integers."""
    edges = np.rint(clip(boxes, width, height))
    rows = np.flatnonzero((edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1]))[::-1]
    return rows, edges[rows].astype(np.int64).tolist()


def _points(points: ArrayLike | tuple[ArrayLike, ...], least: int) -> NDArray[np.int32]:
    """Points (N, 2) rounded to integers, for OpenCV."""
    try:
        given = np.asarray(points, np.float64)
        fits = given.ndim == 2 and given.shape[1] == 2 and len(given) >= least and np.abs(given).max() < FAR
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise DrawingError(f"points {points!r}: expected {least} or more pairs of x and y, in pixels")
    return np.rint(given).astype(np.int32)


def _stroke(picture: Image, corners: NDArray[np.int32], closed: bool, colour: Colour, thickness: int) -> None:
    cv2.polylines(picture, [corners], closed, colour, thickness, cv2.LINE_AA)


def _outline(picture: Image, box: list[int], stripe: NDArray[np.uint8], thickness: int) -> None:
    """A frame just inside the box. Copying rows of bytes is faster, and sharper, than a thick line of OpenCV."""
    x1, y1, x2, y2 = box
    flat = picture.reshape(len(picture), -1)  # (H, W * 3)
    left, right, top = 3 * x1, 3 * x2, stripe[: 3 * (x2 - x1)]
    side = top[: 3 * thickness]
    flat[y1 : min(y1 + thickness, y2), left:right] = top
    flat[max(y2 - thickness, y1) : y2, left:right] = top
    flat[y1:y2, left : left + len(side)] = side
    flat[y1:y2, right - len(side) : right] = side


@lru_cache(maxsize=64)
def _stripe(colour: Colour, width: int) -> NDArray[np.uint8]:
    """A row of `width` pixels in a colour, as bytes (3 * width,)."""
    return np.tile(np.array(colour, np.uint8), width)


def _tint(picture: Image, region: tuple[slice, slice], bits: NDArray[np.uint8], colour: Colour, thickness: int) -> None:
    """Blend a colour into the pixels of a mask in the box `region`, (1 - OPACITY) * pixel + OPACITY * colour; those
    nearer than `thickness` to a pixel outside get the colour itself.

    Both products are rounded, so the sum is in integers: it is fast, and the same on every CPU.
    """
    pixels = picture[region]
    paler = cv2.convertScaleAbs(pixels, alpha=1 - OPACITY)
    more = np.array([*(round(channel * OPACITY) for channel in colour), 0], np.float64)  # a scalar of OpenCV has four
    tinted = cv2.add(paler, more)
    inside = cv2.erode(bits, _square(thickness), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    cv2.copyTo(tinted, inside, pixels)
    solid = np.empty_like(tinted)
    solid.reshape(len(bits), -1)[:] = _stripe(colour, picture.shape[1])[: 3 * bits.shape[1]]
    cv2.copyTo(solid, cv2.subtract(bits, inside), pixels)


@lru_cache(maxsize=16)
def _square(reach: int) -> NDArray[np.uint8]:
    """The pixels up to `reach` away in both directions."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
