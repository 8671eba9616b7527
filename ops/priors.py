"""Dimension priors: the box sizes that a YOLOv2 head starts from, learned from the data.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (2017), section 2, "Dimension Clusters"; the lecture's
"dimension priors: learn 5 anchors with k-means, instead of hand-picked ones". The distance is 1 - IoU of boxes with the
same centre, so large boxes do not count more than small ones.
"""

import numpy as np
from numpy.typing import NDArray


def size_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of boxes with the same centre: sizes (N, 2) and (M, 2), as (width, height) -> (N, M)."""
    shared = np.minimum(a[:, None], b[None]).prod(-1)
    union = a.prod(-1)[:, None] + b.prod(-1)[None] - shared
    return np.asarray(shared / union, np.float32)


def dimension_priors(sizes: NDArray[np.float32], count: int, seed: int = 0, rounds: int = 100) -> NDArray[np.float32]:
    """K-means over box sizes with the distance 1 - IoU.

    Args:
        sizes: (N, 2) width and height of the training boxes, all positive, N >= count.
        count: number of priors.
        seed: seed of the random first centres.
        rounds: largest number of rounds; k-means stops earlier when no box changes its cluster.

    Returns:
        (count, 2) priors in the unit of `sizes`, smallest area first. A prior is the median of the boxes nearest to it.

    Raises:
        ValueError: there are fewer boxes than priors, or a box has no area.
    """
    if not 1 <= count <= len(sizes) or sizes.min() <= 0:
        raise ValueError(
            f"{len(sizes)} box sizes for {count} priors: expected at least as many boxes as priors, all with an area"
        )
    rng = np.random.default_rng(seed)
    centres = sizes[rng.choice(len(sizes), count, replace=False)]
    nearest = np.full(len(sizes), -1)
    for _ in range(rounds):
        assigned = size_iou(sizes, centres).argmax(1)
        if (assigned == nearest).all():
            break
        nearest = assigned
        centres = np.stack(
            [np.median(sizes[nearest == k], axis=0) if (nearest == k).any() else centres[k] for k in range(count)]
        )
    return np.asarray(centres[np.argsort(centres.prod(-1))], np.float32)
