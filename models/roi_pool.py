"""RoI pooling: a patch of fixed size from a feature map for each box, with the largest value in each bin.

Girshick, "Fast R-CNN" (2015), section 2.1; the lecture's "Region of Interest (RoI) pooling layer": project the region
onto the map, divide it into a grid whose cells depend on its size, take the maximum of each cell.

This is exact, with plain operations and static shapes. A sparse table has the maximum of every window whose sides are
powers of two. Four of these windows cover any bin, so a bin needs four rows of the table, whatever its size. Reading
them is a Gather.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def roi_pool(features: Tensor, boxes: Tensor, scale: float, size: int) -> Tensor:
    """The largest features under each box.

    As in the paper's code, a box covers the cells from round(x1 * scale) to round(x2 * scale) inclusive, at least one.
    Bin p of a side of n cells is from floor(p * n / size) to ceil((p + 1) * n / size); neighbouring bins may overlap.

    Args:
        features: (B, C, h, w).
        boxes: (B, K, 4) xyxy in pixels of the input, clipped to it.
        scale: cells of the map per pixel of the input, e.g. 1 / 16.
        size: bins along each side.

    Returns:
        (B, K, C, size, size); 0 in bins outside of the map.
    """
    height, width = (int(side) for side in features.shape[2:])
    near_x, far_x, level_x, filled_x = _bins(boxes[..., 0], boxes[..., 2], scale, size, width)  # (B, K, size) each
    near_y, far_y, level_y, filled_y = _bins(boxes[..., 1], boxes[..., 3], scale, size, height)
    levels = _levels(height, size), _levels(width, size)
    tables = _tables(features, *levels)  # (B * levels * h * w, C)
    batch = torch.arange(boxes.shape[0], device=boxes.device).view(-1, 1, 1, 1) * (levels[0] * levels[1])
    sheet = (batch + level_y.unsqueeze(3) * levels[1] + level_x.unsqueeze(2)) * (height * width)  # (B, K, size, size)
    windows = [
        F.embedding(sheet + y.unsqueeze(3) * width + x.unsqueeze(2), tables)  # (B, K, size, size, C)
        for y in (near_y, far_y)
        for x in (near_x, far_x)
    ]
    pooled = torch.maximum(torch.maximum(*windows[:2]), torch.maximum(*windows[2:]))
    filled = filled_y.unsqueeze(3) & filled_x.unsqueeze(2)
    return (pooled * filled.unsqueeze(4)).permute(0, 1, 4, 2, 3)


def _bins(low: Tensor, high: Tensor, scale: float, size: int, cells: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The windows that cover the bins of one side: each bin is covered by two windows of 2^k cells.

    All numbers are integers after the first rounding, because a rounding error would read another row of the table.

    Returns:
        the starts of the two windows, at the bin's start and at its end, in 0..cells - 1; k; and whether the bin has
        any cell. All (B, K, size), int64 except for the last.
    """
    first, last = ((v * scale + 0.5).floor().long().clamp(0, cells) for v in (low, high))
    length = (last - first).clamp(min=0) + 1  # (B, K), at most cells + 1
    n, p = torch.arange(cells + 2, device=low.device).unsqueeze(1), torch.arange(size, device=low.device)
    begins, ends = n * p // size, -(-n * (p + 1) // size)  # (cells + 2, size): of each possible length
    start = (first.unsqueeze(-1) + begins[length]).clamp(max=cells)
    end = (first.unsqueeze(-1) + ends[length]).clamp(max=cells)
    k = torch.tensor([max(v.bit_length() - 1, 0) for v in range(cells + 1)], device=low.device)  # of each length
    far = end - (2**k)[end - start]
    return start.clamp(max=cells - 1), far.clamp(min=0), k[end - start], end > start


def _levels(cells: int, size: int) -> int:
    """The number of powers of two up to the longest bin."""
    longest = min(-(-(cells + 1) // size) + 1, cells)
    return longest.bit_length()


def _tables(features: Tensor, levels_y: int, levels_x: int) -> Tensor:
    """The maximum of every window of 2^i x 2^j cells, indexed by its top left cell: rows (B * i * j * h * w, C)."""
    tables = []
    tall = features.permute(0, 2, 3, 1)  # (B, h, w, C), so that a cell's channels are contiguous
    for i in range(levels_y):
        tall = _doubled(tall, 1, i) if i else tall
        wide = tall
        for j in range(levels_x):
            wide = _doubled(wide, 2, j) if j else wide
            tables.append(wide)
    return torch.stack(tables, dim=1).reshape(-1, features.shape[1])


def _doubled(windows: Tensor, axis: int, level: int) -> Tensor:
    """Windows of 2^level cells from windows of 2^(level - 1): the maximum of two neighbours.

    Windows that would extend over the edge stay unchanged; they are never read.
    """
    step, cells = 2 ** (level - 1), int(windows.shape[axis])
    rest = cells - step
    larger = torch.maximum(windows.narrow(axis, 0, rest), windows.narrow(axis, step, rest))
    return torch.cat([larger, windows.narrow(axis, rest, step)], dim=axis)
