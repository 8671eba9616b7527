"""Superpixels, the lecture's first notion of segmentation: a partition into coherent parts that mean nothing.

"Segmentation: partition of an image into several coherent parts, without any attempt at understanding what these parts
represent; typically based on color, textures, smoothness of boundaries." Two ways, both scikit-image's (extra
`proposals`): SLIC, k-means of colour and place (Achanta et al., 2012), and the graph-based one of Felzenszwalb and
Huttenlocher (2004), with which Selective Search begins (`ops/selective_search.py`).

    parts = slic(image, count=400)  # (H, W) int32, a number for each part
    best = majority(parts, classes)  # the class map that a perfect classifier of the parts would give
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.extras import command
from watchline.ops.errors import LibraryMissing, ShapesDiffer

Parts = NDArray[np.int32]
"""(H, W): the number of a pixel's part, from 0 on without gaps."""


def slic(image: NDArray[np.uint8], count: int, compactness: float = 10.0) -> Parts:
    """About `count` parts of similar size, by k-means in colour (CIELAB) and place.

    Args:
        image: (H, W, 3) uint8 BGR.
        compactness: how much place counts against colour.
    """
    found = _library().slic(
        np.ascontiguousarray(image[..., ::-1]), n_segments=count, compactness=compactness, start_label=0
    )
    return _numbered(found)


def felzenszwalb(image: NDArray[np.uint8], scale: float = 100.0, smallest: int = 50, sigma: float = 0.8) -> Parts:
    """Parts that differ more from each other than within themselves: a minimum spanning forest of the pixels.

    Args:
        image: (H, W, C) uint8, in any colour space.
        scale: larger values make larger parts.
        smallest: pixels of a part, at least.
        sigma: pixels, of the Gaussian that smooths the picture first.
    """
    found = _library().felzenszwalb(image, scale=scale, sigma=sigma, min_size=smallest)
    return _numbered(found)


def majority(parts: Parts, classes: NDArray[np.uint8], void: int) -> NDArray[np.uint8]:
    """Each part with the class that most of its pixels have: the upper bound for whoever classifies whole parts.

    Args:
        parts: (H, W), of `slic` or `felzenszwalb`.
        classes: (H, W) uint8, the truth; `void` where none.

    Returns:
        (H, W) uint8; 0 in parts without a class.

    Raises:
        ShapesDiffer: the two have different shapes.
    """
    if parts.shape != classes.shape:
        raise ShapesDiffer(f"parts {parts.shape} and classes {classes.shape}: expected those of one picture")
    valid = classes != void
    counts = np.zeros((int(parts.max()) + 1, 256), np.int64)
    np.add.at(counts, (parts[valid], classes[valid]), 1)
    return np.asarray(counts.argmax(1).astype(np.uint8)[parts])


def _numbered(found: NDArray[np.integer]) -> Parts:
    _, numbers = np.unique(found, return_inverse=True)
    return np.asarray(numbers.reshape(found.shape), np.int32)


def check_library() -> None:
    """Raises LibraryMissing: what makes superpixels is not installed."""
    _library()


def _library() -> Any:
    """Raises LibraryMissing: it is not installed."""
    try:
        from skimage import segmentation
    except ModuleNotFoundError as error:
        raise LibraryMissing(f"superpixels need scikit-image: {command('proposals')}") from error
    return segmentation
