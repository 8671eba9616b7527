"""Training views of photos with people: moved, scaled, mirrored, recoloured, and with people pasted from other photos.

Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation" (2021): people are cut
out along their masks and put into other photos, so a small set shows each of them before many backgrounds, and half
hidden. What is covered is no longer part of a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.masks import Masks
from watchline.train.datasets import Image
from watchline.train.people import Masked, Plane

GREY = 127  # of what lies outside of a photo; about 0 for the network
LEAST_SIDE = 8  # pixels: a person with a shorter side is ignored
LEAST_SHARE = 0.25  # of a person's pixels; one of whom less is left is ignored
LARGEST = 1.05  # height of a pasted person in heights of the view


@dataclass(frozen=True)
class Views:
    """How views are drawn.

    Attributes:
        width, height: of a view in pixels.
        smallest, largest: limits of the scale; at 1 the photo just fits into the view, above it is cropped.
        paste: share of the views with pasted people.
        pasted: largest number of them.
    """

    width: int = 448
    height: int = 384
    smallest: float = 0.65
    largest: float = 1.6
    paste: float = 0.6
    pasted: int = 3


@dataclass(frozen=True)
class View:
    """What the network learns from.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        boxes: (G, 4) float32 xyxy, half-open, the extents of the planes.
        planes: (G, H, W) bool.
        ignore: (G,) bool: too small, or too much is hidden.
    """

    image: Image
    boxes: NDArray[np.float32]
    planes: NDArray[np.bool_]
    ignore: NDArray[np.bool_]


def draw(sample: Masked, donors: Sequence[Masked], views: Views, rng: np.random.Generator) -> View:
    """A view of a photo. Args: donors, the photos whose people are pasted."""
    image, plane, whole = _place(sample, views, rng)
    if donors and rng.random() < views.paste:
        for _ in range(rng.integers(1, views.pasted + 1)):
            _paste(image, plane, whole, donors[int(rng.integers(len(donors)))], views, rng)
    return _view(_recolour(image, rng), plane, whole)


def fitted(sample: Masked, width: int, height: int) -> View:
    """The whole photo at the top left, as in use."""
    scale = min(width / sample.image.shape[1], height / sample.image.shape[0])
    image, plane = _warp(sample, np.array([[scale, 0, 0], [0, scale, 0]]), width, height)
    return _view(image, plane, {number: int((plane == number).sum()) for number in sample.numbers})


def _place(sample: Masked, views: Views, rng: np.random.Generator) -> tuple[Image, Plane, dict[int, int]]:
    """The photo somewhere in the view. Returns the pixels, the numbers, and how many pixels each person would have."""
    height, width = sample.image.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(views.smallest), np.log(views.largest))))
    scale = min(views.width / width, views.height / height) * zoom
    x, y = rng.random() * (views.width - scale * width), rng.random() * (views.height - scale * height)
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    if rng.random() < 0.5:
        matrix[0] = (-scale, 0, x + scale * width)
    image, plane = _warp(sample, matrix, views.width, views.height)
    counts = np.bincount(sample.plane.ravel(), minlength=1)
    return image, plane, {number: int(counts[number] * scale**2) for number in sample.numbers}


def _warp(sample: Masked, matrix: NDArray[np.float64], width: int, height: int) -> tuple[Image, Plane]:
    """Both by the same affine map, between pixel centres."""
    centred = matrix.copy()
    centred[:, 2] += (matrix[:, :2].sum(axis=1) - 1) / 2
    size, grey = (width, height), (GREY, GREY, GREY)
    image = cv2.warpAffine(sample.image, centred, size, flags=cv2.INTER_LINEAR, borderValue=grey)
    plane = cv2.warpAffine(sample.plane, centred, size, flags=cv2.INTER_NEAREST, borderValue=0)
    return np.asarray(image, np.uint8), np.asarray(plane, np.uint8)


def _paste(
    image: Image, plane: Plane, whole: dict[int, int], donor: Masked, views: Views, rng: np.random.Generator
) -> None:
    """Put one of the donor's people into a view, in front of what is there."""
    numbers = donor.numbers
    if not numbers or max(whole, default=0) >= np.iinfo(plane.dtype).max:
        return
    mask = donor.plane == numbers[int(rng.integers(len(numbers)))]
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    tall = views.height * float(np.exp(rng.uniform(np.log(0.2), np.log(LARGEST))))
    scale = min(tall / h, views.width / w, 2.5)  # a lying one is wider than a view
    w, h = max(1, round(w * scale)), max(1, round(h * scale))
    crop = np.s_[y : y + round(h / scale), x : x + round(w / scale)]
    patch = cv2.resize(donor.image[crop], (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    soft = cv2.resize(mask[crop].astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        patch, soft = patch[:, ::-1], soft[:, ::-1]
    left, top = (
        int(rng.integers(-w // 4, views.width - 3 * w // 4)),
        int(rng.integers(-h // 8, max(1, views.height - h // 2))),
    )
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + w, views.width), min(top + h, views.height)
    if x1 >= x2 or y1 >= y2:
        return
    seen = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    there = np.s_[y1:y2, x1:x2]
    share = soft[seen][..., None]
    image[there] = np.rint(image[there] * (1 - share) + patch[seen] * share).astype(np.uint8)
    number = max(whole, default=0) + 1
    plane[there][soft[seen] >= 0.5] = number
    whole[number] = int((soft >= 0.5).sum())


def _recolour(image: Image, rng: np.random.Generator) -> Image:
    """Brightness and contrast for all, a little colour for each channel."""
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.93, 1.07, 3)
    offset = rng.uniform(-20, 20)
    table = np.clip((np.arange(256)[:, None] - 127) * gain + 127 + offset, 0, 255).astype(np.uint8)
    changed = np.asarray(cv2.LUT(image, table[None]), np.uint8)
    if rng.random() < 0.1:
        changed = np.asarray(cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    return changed


def _view(image: Image, plane: Plane, whole: dict[int, int]) -> View:
    planes = [plane == number for number in whole]
    masks = Masks.of(np.stack(planes)) if planes else Masks.none((plane.shape[0], plane.shape[1]))
    seen = np.flatnonzero(masks.area > 0)
    masks, areas = masks[seen], np.array(list(whole.values()), np.int64)[seen]
    boxes = masks.extent.astype(np.float32)
    small = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < LEAST_SIDE
    return View(image, boxes, masks.dense(), small | (masks.area < LEAST_SHARE * areas))
