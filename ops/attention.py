"""A picture of where a captioner looked: the photo once for each word, light where it looked, the word below."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 240  # pixels: the longer side of a tile's photo
STRIP = 30  # pixels below it, for the word
GAP = 6
DARK = 0.25  # share of its light that the photo keeps where the captioner did not look
_BLACK = (20, 20, 20)
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6


def attention_picture(
    photo: NDArray[np.uint8], words: Sequence[str], looked: NDArray[np.float32], columns: int = 5
) -> NDArray[np.uint8]:
    """Tiles in the order of reading: the photo itself, then one for each word.

    Args:
        photo: (H, W, 3) uint8 BGR.
        words: of the caption, without the end; at most T.
        looked: (T, R, Q) float32, how much each word looked at each place of a grid that covers the photo.
        columns: tiles in a row.

    Returns:
        A picture, uint8 BGR, on white.

    Raises:
        ValueError: the arrays do not fit together.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ValueError(f"a photo of shape {photo.shape}: expected (height, width, 3)")
    if looked.ndim != 3 or len(words) > len(looked):
        raise ValueError(f"maps of shape {looked.shape} for {len(words)} words: expected (words, rows, columns)")
    scale = SIDE / max(photo.shape[:2])
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(photo, size, interpolation=how), np.uint8)
    lit = [_lit(small, place) for place in looked[: len(words)]]
    tiles = [_tile(picture, word) for picture, word in zip([small, *lit], ["", *words], strict=True)]
    columns = min(columns, len(tiles))
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((GAP + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = (GAP + (i // columns) * (height + GAP), GAP + (i % columns) * (width + GAP))
        sheet[y : y + height, x : x + width] = tile
    return sheet


def _lit(photo: NDArray[np.uint8], looked: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo, dark but where it was looked at; the brightest place keeps all its light."""
    height, width = photo.shape[:2]
    smooth = cv2.resize(looked.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).clip(0)
    light = DARK + (1 - DARK) * smooth / max(float(smooth.max()), 1e-9)
    return np.asarray(photo * light[..., None] + 0.5, np.uint8)


def _tile(photo: NDArray[np.uint8], word: str) -> NDArray[np.uint8]:
    """The photo with a strip below it, in which the word is in the middle; a long word is written smaller."""
    height, width = photo.shape[:2]
    width_of_tile = max(width, SIDE // 2)
    tile = np.full((height + STRIP, width_of_tile, 3), 255, np.uint8)
    left = (width_of_tile - width) // 2
    tile[:height, left : left + width] = photo
    (length, _), _ = cv2.getTextSize(word, _FONT, _SCALE, 1)
    scale = _SCALE * min(1.0, (width_of_tile - 4) / max(length, 1))
    x = round((width_of_tile - length * scale / _SCALE) / 2)
    cv2.putText(tile, word, (x, height + STRIP - 10), _FONT, scale, _BLACK, 1, cv2.LINE_AA)
    return tile
