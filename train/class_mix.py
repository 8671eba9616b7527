"""Views are mixed: some classes of one view are laid over another, pixels and classes together.

So a class is met before surroundings that it never had in the data. Olsson et al., "ClassMix" (2021): half of the
classes that a view has, drawn at random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.ops.camvid import VOID


@dataclass(frozen=True)
class View:
    """A crop of a changed picture.

    Attributes:
        image: (h, w, 3) uint8 BGR.
        classes: (h/2, w/2) uint8, at the centres of its 2x2 cells.
        soft: (h/2, w/2, K) uint8, the soft labels of the same cells.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    soft: NDArray[np.uint8]


def mixed(below: View, above: View, rng: np.random.Generator) -> View:
    """`below`, covered by half of the classes of `above`; both of one size."""
    seen = believed(above)
    there = np.unique(seen[seen != VOID])
    taken = np.isin(seen, rng.permutation(there)[: len(there) // 2])
    fine = taken.repeat(2, 0).repeat(2, 1)[..., None]
    return View(
        np.where(fine, above.image, below.image),
        np.where(taken, above.classes, below.classes),
        np.where(taken[..., None], above.soft, below.soft),
    )


def believed(view: View) -> NDArray[np.uint8]:
    """(h/2, w/2): the classes, and in a view that has none those that the soft labels find likeliest; or VOID."""
    known = view.classes != VOID
    if known.any() or not view.soft.shape[2]:
        return view.classes
    return np.where(view.soft.any(2), view.soft.argmax(2), VOID).astype(np.uint8)
