"""Losses of a class for every pixel: cross-entropy, and Lovász-softmax, which is made for mean IoU.

Berman, Triki and Blaschko, "The Lovász-Softmax loss" (2018): with m the errors of a class, sorted from the largest on,
the loss is their sum, each times what IoU loses as the set of mistakes grows by that pixel. It is the tightest convex
extension of 1 - IoU to errors that are not 0 or 1.

    loss = cross_entropy(logits, classes, weights) + lovasz_softmax(logits, classes)

Pixels of class `void` take part in neither.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

VOID = 255  # number of pixels that count in no loss


def cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean of -log p(class) over the pixels that are not void, weighted by class.

    Args:
        logits: (B, C, H, W) float. classes: (B, H, W) int64, VOID where none. weights: (C,) float.

    Returns:
        scalar; 0 if all pixels are void.
    """
    total = F.cross_entropy(logits, classes, weights, ignore_index=VOID, reduction="sum")
    valid = classes != VOID
    count = valid.sum() if weights is None else weights[classes[valid]].sum()
    return total / count.clamp(min=1e-6)


def lovasz_softmax(logits: Tensor, classes: Tensor) -> Tensor:
    """The mean of the Lovász extension of 1 - IoU over the classes that are there.

    Args:
        logits: (B, C, H, W) float. classes: (B, H, W) int64, VOID where none.

    Returns:
        scalar in 0..1; 0 if all pixels are void.
    """
    valid = classes != VOID
    shares = logits.softmax(1).permute(0, 2, 3, 1)[valid].T  # (C, N)
    truth = F.one_hot(classes[valid], logits.shape[1]).T.to(shares.dtype)  # (C, N)
    there = truth.sum(1) > 0
    shares, truth = shares[there], truth[there]
    if not len(truth):
        return logits.sum() * 0.0
    errors, order = (truth - shares).abs().sort(1, descending=True)
    return (errors * jaccard_steps(truth.gather(1, order))).sum(1).mean()


def jaccard_steps(truth: Tensor) -> Tensor:
    """What 1 - IoU grows by as one pixel after another is a mistake.

    Args:
        truth: (C, N) float, 1 where the pixel is of the class, in the order in which they become mistakes.

    Returns:
        (C, N), that adds up to 1 in each row with a pixel of the class.
    """
    inside = truth.sum(1, keepdim=True) - truth.cumsum(1)  # of the class, and still right
    union = truth.sum(1, keepdim=True) + (1 - truth).cumsum(1)
    loss = 1 - inside / union
    return torch.cat([loss[:, :1], loss.diff(dim=1)], dim=1)
