"""The pixels of the objects of one picture, kept as crops: of twenty people at 720p a twentieth of whole planes.

masks = Masks.of(dense)                     # (N, H, W) bool
masks = Masks.from_boxes(boxes, soft, size)  # Mask R-CNN's 28 x 28 stretched over its boxes
for x1, y1, x2, y2, crop in masks: ...      # crop (y2 - y1, x2 - x1) bool, a view
masks.dense(), masks.area, masks[rows], masks.to_rle()
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchline.ops import coco_rle
from watchline.ops.errors import DetectionsError

HALF = 0.5  # a soft mask's value from which a pixel belongs to the object
LARGEST_SIDE = 65_535  # of a picture, in pixels


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """A crop of booleans for each object; checked once, when made. Outside its crop an object has no pixels.

    Attributes:
        size: (height, width) of the picture in pixels.
        extent: (N, 4) int32 xyxy, half-open, inside the picture: where each crop is. It may be empty.
        bits: (P,) bool, the crops' pixels, one crop after another, each row by row.
        starts: (N + 1,) int64, where each crop begins in `bits`; the last is P.

    Raises:
        DetectionsError: they do not fit together.
    """

    size: tuple[int, int]
    extent: NDArray[np.int32]
    bits: NDArray[np.bool_]
    starts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.size
        if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
            raise DetectionsError(
                f"masks of a picture of {height} x {width} (height x width): expected 1..{LARGEST_SIDE}"
            )
        extent, bits = np.asarray(self.extent), np.asarray(self.bits)
        if extent.ndim != 2 or extent.shape[1] != 4 or not (extent.dtype.kind in "iu" or not extent.size):
            raise DetectionsError(f"extent is {extent.dtype} {extent.shape}: expected int32 (N, 4)")
        x1, y1, x2, y2 = extent.T.astype(np.int64)
        if not ((0 <= x1) & (x1 <= x2) & (x2 <= width) & (0 <= y1) & (y1 <= y2) & (y2 <= height)).all():
            raise DetectionsError(f"extent has a crop outside of the picture, {height} x {width} (height x width)")
        starts = np.concatenate([[0], np.cumsum((x2 - x1) * (y2 - y1))])
        if bits.dtype != np.bool_ or bits.shape != (starts[-1],):
            raise DetectionsError(f"bits is {bits.dtype} {bits.shape}: expected bool ({starts[-1]},), as extent says")
        for name, value in (("size", (int(height), int(width))), ("bits", bits), ("starts", starts)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "extent", extent.astype(np.int32, copy=False))

    def __len__(self) -> int:
        return len(self.extent)

    def __iter__(self) -> Iterator[tuple[int, int, int, int, NDArray[np.bool_]]]:
        for (x1, y1, x2, y2), start, end in zip(self.extent.tolist(), self.starts, self.starts[1:], strict=False):
            yield x1, y1, x2, y2, self.bits[start:end].reshape(y2 - y1, x2 - x1)

    def __getitem__(self, rows: Any) -> "Masks":
        """Args: rows as an array of booleans (N,), an array or list of indices, a slice, or one index.

        Raises:
            IndexError: there is no such row.
        """
        if isinstance(rows, int | np.integer):
            rows = [rows]
        chosen = np.arange(len(self))[rows]
        crops = [self.bits[self.starts[row] : self.starts[row + 1]] for row in chosen.tolist()]
        return Masks(self.size, self.extent[chosen], _joined(crops))

    @property
    def area(self) -> NDArray[np.int64]:
        """(N,) pixels of each object."""
        return np.array([np.count_nonzero(crop) for *_, crop in self], np.int64)

    def dense(self) -> NDArray[np.bool_]:
        """(N, H, W) bool: a whole plane for each object."""
        planes = np.zeros((len(self), *self.size), np.bool_)
        for plane, (x1, y1, x2, y2, crop) in zip(planes, self, strict=True):
            plane[y1:y2, x1:x2] = crop
        return planes

    @classmethod
    def none(cls, size: tuple[int, int]) -> "Masks":
        """No objects. Args: size, (height, width) of the picture."""
        return cls(size, np.empty((0, 4), np.int32), np.empty(0, np.bool_))

    @classmethod
    def of(cls, dense: ArrayLike) -> "Masks":
        """Args: dense (N, H, W) bool. Its crops are as small as they can be.

        Raises:
            DetectionsError: it is of another kind or shape.
        """
        planes = np.asarray(dense)
        if planes.ndim != 3 or planes.dtype != np.bool_:
            raise DetectionsError(f"masks are {planes.dtype} {planes.shape}: expected bool (N, H, W)")
        return cls.of_crops(planes.shape[1:], [_tight(plane) for plane in planes])

    @classmethod
    def from_boxes(cls, boxes: NDArray[np.float32], soft: NDArray[np.float32], size: tuple[int, int]) -> "Masks":
        """Stretch each soft mask over its box, and cut it at one half: what Mask R-CNN does with its 28 x 28.

        Interpolated between the four nearest values; the mask has a frame of zeros, so an object may end inside the
        box. In the numbers of torchvision's `paste_masks_in_image`, except for boxes that reach further beyond the
        picture than half its side: they are cut there, so that none takes more memory than four pictures.

        Args:
            boxes: (N, 4) float32 xyxy in pixels of the picture; they may reach beyond it.
            soft: (N, M, M) float32 in 0..1.
            size: (height, width) of the picture.
        """
        height, width = size
        side = soft.shape[-1] if len(soft) else 1
        framed = np.pad(soft, ((0, 0), (1, 1), (1, 1)))  # (N, M + 2, M + 2)
        crops = []
        for plane, (x1, y1, x2, y2) in zip(framed, _grown(boxes, (side + 2) / side, size).tolist(), strict=True):
            whole = cv2.resize(plane, (max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)), interpolation=cv2.INTER_LINEAR)
            left, top = min(max(x1, 0), width), min(max(y1, 0), height)
            seen = whole[max(top - y1, 0) : max(height - y1, 0), max(left - x1, 0) : max(width - x1, 0)]
            x, y, crop = _tight(seen >= HALF)
            crops.append((left + x, top + y, crop))
        return cls.of_crops(size, crops)

    @classmethod
    def of_crops(cls, size: Sequence[int], crops: Sequence[tuple[int, int, NDArray[np.bool_]]]) -> "Masks":
        """Args: crops, each with its left and its top."""
        extent = [(x, y, x + crop.shape[1], y + crop.shape[0]) for x, y, crop in crops]
        height, width = size
        return cls((height, width), np.array(extent, np.int32).reshape(-1, 4), _joined([c.ravel() for *_, c in crops]))

    def to_rle(self) -> list[dict[str, Any]]:
        """The run lengths of COCO, as `pycocotools` reads them: [{"size": [height, width], "counts": "…"}, …]."""
        size = list(self.size)
        return [
            {"size": size, "counts": coco_rle.as_text(coco_rle.runs(x1, y1, crop, self.size))}
            for x1, y1, _, _, crop in self
        ]

    @classmethod
    def from_rle(cls, objects: Sequence[Mapping[str, Any]], size: tuple[int, int] | None = None) -> "Masks":
        """Args: objects of one picture as `to_rle` gives them, `counts` as text or as a list of numbers; size,
        (height, width), where there may be no objects.

        Raises:
            DetectionsError: they are no run lengths of a picture of one size.
        """
        sizes = {tuple(one["size"]) for one in objects} | ({tuple(size)} if size else set())
        if len(sizes) != 1:
            raise DetectionsError(f"run lengths of pictures of the sizes {sorted(sizes)}: expected one size")
        [(height, width)] = sizes
        crops = [coco_rle.crop(coco_rle.counts_of(one["counts"]), (height, width)) for one in objects]
        return cls.of_crops((height, width), crops)


def _joined(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.concatenate(parts) if parts else np.empty(0, np.bool_)


def _tight(plane: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.bool_]]:
    """The smallest crop (h, w) of a plane (H, W) that has all its pixels, after its left and its top."""
    if not plane.size:
        return 0, 0, plane
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(plane).view(np.uint8))
    return x, y, plane[y : y + height, x : x + width]


def _grown(boxes: NDArray[np.float32], factor: float, size: tuple[int, int]) -> NDArray[np.int64]:
    """Boxes (N, 4) whose sides are `factor` longer about the middle, in whole pixels, cut towards zero."""
    most = np.array([size[1], size[0]] * 2, np.float32)
    corners = np.clip(boxes, -0.5 * most, 1.5 * most)
    half = (corners[:, 2:] - corners[:, :2]) * np.float32(0.5 * factor)
    middle = (corners[:, :2] + corners[:, 2:]) * np.float32(0.5)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.int64)
