"""The class of every pixel of a picture, as one plane: what semantic segmentation gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops import coco_rle
from watchline.ops.colours import Colour
from watchline.ops.errors import DetectionsError
from watchline.ops.tabs import Image

VOID = 255
"""The number of pixels without a class: they are neither drawn nor written."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """A plane that covers the whole picture, usually with fewer pixels than it: as many as the network had of it.

    Attributes:
        classes: (h, w) uint8, index into `labels`, or VOID.
        labels: the model's class names, at most 255.
        is_written: whether the pixels stand in the lines of events: some ten kilobytes a frame.

    Raises:
        DetectionsError: the plane is of another kind or shape, or a class has no label.
    """

    classes: NDArray[np.uint8]
    labels: tuple[str, ...]
    is_written: bool = True

    def __post_init__(self) -> None:
        plane = np.asarray(self.classes)
        if plane.dtype != np.uint8 or plane.ndim != 2 or not plane.size:
            raise DetectionsError(f"classes is {plane.dtype} {plane.shape}: expected uint8 (height, width)")
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(self.labels) > VOID or not all(isinstance(label, str) for label in self.labels):
            raise DetectionsError(f"labels are {str(self.labels)[:40]}: expected at most {VOID} names")
        there = np.flatnonzero(np.bincount(plane.ravel(), minlength=VOID + 1)[:VOID])
        if len(there) and there[-1] >= len(self.labels):
            raise DetectionsError(f"classes has {there[-1]}: expected less than {len(self.labels)}, as many as labels")

    @property
    def shares(self) -> NDArray[np.float64]:
        """(C,) the share of the picture that each class covers, in 0..1."""
        counts = np.bincount(self.classes.ravel(), minlength=VOID + 1)
        return np.asarray(counts[: len(self.labels)] / self.classes.size)

    def mask(self, label: str) -> NDArray[np.bool_]:
        """(h, w) the pixels of a class. Raises ValueError: there is no such class."""
        return np.asarray(self.classes == self.labels.index(label))

    def scaled(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width) uint8: the plane in another size; each pixel has the class of the nearest one."""
        resized = cv2.resize(self.classes, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized, np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as the lines of events have them.

        {"size": [h, w], "classes": [{"label": "road", "class": 3, "share": 0.31, "counts": "…"}, …]}: the largest class
        first. With "size", "counts" is COCO's run lengths of the pixels of the class, in pixels of the plane; it is
        missing where `is_written` is False.
        """
        shares = self.shares
        classes: list[dict[str, Any]] = [
            {"label": self.labels[n], "class": n, "share": round(float(shares[n]), 4)}
            for n in np.argsort(-shares, kind="stable").tolist()
            if shares[n]
        ]
        if self.is_written:
            runs = coco_rle.runs_by_class(self.classes)
            classes = [one | {"counts": coco_rle.as_text(runs[one["class"]])} for one in classes]
        return {"size": list(self.classes.shape), "classes": classes}


def tint(picture: Image, found: ClassMap, colour_of: Callable[[str], Colour], opacity: float) -> None:
    """Blend the classes' colours into a picture of any size, in place: a see-through layer.

    Both products are rounded, so the sum is in integers: the same on every CPU.

    Args:
        picture: (H, W, 3) uint8 BGR.
        opacity: of the colours, in 0..1.
    """
    height, width = picture.shape[:2]
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: len(found.labels), 0] = np.rint(np.array([colour_of(label) for label in found.labels]) * opacity)
    more = cv2.resize(cv2.applyColorMap(found.classes, colours), (width, height), interpolation=cv2.INTER_NEAREST)
    mixed = cv2.add(cv2.convertScaleAbs(picture, alpha=1 - opacity), more)
    if found.classes.max() == VOID:
        cv2.copyTo(mixed, (found.scaled(width, height) != VOID).view(np.uint8), picture)
    else:
        np.copyto(picture, mixed)
