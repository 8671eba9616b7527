"""Greedy non-maximum suppression in plain operations: without loops over data, and without shapes that depend on data.

Greedy suppression keeps box j unless a kept box i < j (with a better score) overlaps it: k_j = not any_i (k_i and
o_ij). This equation has one solution, and iterating it from "all are kept" converges to that (Zheng et al.,
"Cluster-NMS", 2020). After t rounds, a box is right if it is not the end of a chain of more than t + 1 boxes, in which
each overlaps the next. So N boxes need at most N - 1 rounds of N^2 products.

Here the boxes are processed in blocks, best first. The kept boxes of earlier blocks are final, so one product computes
which boxes they suppress, and the rounds run only within a block. BLOCK - 1 rounds are enough for every input: the
result is always the greedy one, after N rounds of BLOCK^2 products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 128  # 32, 64 and 128 are equally fast on ONNX Runtime, and 128 gives the smallest graph


def suppress(boxes: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Which boxes greedy suppression keeps.

    Args:
        boxes: (B, N, 4) xyxy, best score first. A box without area overlaps no other: set unused rows to zero.
        threshold: a box is removed if its IoU with a kept one is greater than this.
        groups: (B, N), e.g. classes: boxes of different groups do not suppress each other. None: one group.

    Returns:
        (B, N) bool.
    """
    rows = boxes.unsqueeze(3).unbind(2)  # x1, y1, x2, y2, (B, N, 1) each
    columns = boxes.unsqueeze(1).unbind(3)  # (B, 1, N) each
    kept = None  # (B, 1, n), 0 or 1: the kept boxes of earlier blocks
    count = int(boxes.shape[1])  # an integer, so it is not part of a traced graph
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        close = overlap([c[:, :end] for c in rows], [c[..., start:end] for c in columns], threshold)  # (B, end, b)
        if groups is not None:
            close = close * (groups[:, :end, None] == groups[:, None, start:end])
        alive = torch.ones_like(columns[0][..., start:end])  # (B, 1, b)
        if kept is not None:
            alive = (alive - kept @ close[:, :start]).relu()
        mine = _settle(alive, close[:, start:], end - start)
        kept = mine if kept is None else torch.cat([kept, mine], dim=-1)
    return boxes.new_zeros(boxes.shape[:2]) > 0 if kept is None else kept[:, 0] > 0.5


def _settle(alive: Tensor, close: Tensor, count: int) -> Tensor:
    """Suppression inside a block. Args: alive (B, 1, b), close (B, b, b), count b. Returns: (B, 1, b); all 0 and 1."""
    better = torch.ones(count, count, dtype=close.dtype, device=close.device).triu(1)
    always = torch.cat([torch.zeros_like(alive), torch.ones_like(alive[..., :1])], dim=-1)  # (B, 1, b + 1): 0, … 0, 1
    step = torch.cat([-close * better, alive], dim=1)  # (B, b + 1, b): one product is alive - mine @ close
    step = torch.cat([step, always.transpose(1, 2)], dim=2)  # (B, b + 1, b + 1): it also keeps the last 1
    state = torch.cat([alive, always[..., -1:]], dim=-1)
    for _ in range(count - 1):
        state = (state @ step).relu()
    return state[..., :-1]


def overlap(a: Sequence[Tensor], b: Sequence[Tensor], threshold: float) -> Tensor:
    """1 where the IoU of two boxes is greater than the threshold, else 0.

    Args: a, b: x1, y1, x2, y2 as (B, N, 1) and (B, 1, M). Returns: (B, N, M).
    """
    (x1, y1, x2, y2), (u1, v1, u2, v2) = a, b
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).relu()
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).relu()
    shared = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    return (shared > threshold * union).to(shared.dtype)
