"""RoI align: a patch of fixed size from a feature map for each box, by interpolation between the cells.

He et al., "Mask R-CNN" (2017), section 3: a box is divided into size x size bins. The map is sampled at
sampling x sampling points of each bin by bilinear interpolation, and the samples of a bin are averaged. Nothing is
rounded. One `grid_sample` reads all boxes, so the graph has static shapes and needs no special operator.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

OUTSIDE = -2.0  # a coordinate, in cells, at which `grid_sample` returns zeros


def roi_align(
    maps: Sequence[Tensor],
    boxes: Tensor,
    scales: Sequence[float],
    levels: Tensor,
    size: int,
    sampling: int = 2,
) -> Tensor:
    """The features under each box. Each box is read from its own level of a pyramid (or from the only map).

    Pixel centres are at whole coordinates, and no box is smaller than a cell, as in Detectron and in torchvision's
    detectors.

    The maps are placed on one sheet, the first on the left and the others below each other to its right. So every box
    is read once, not once per level.

    Args:
        maps: (B, C, h, w) each, the finest first; the others together no higher than the first.
        boxes: (B, K, 4) xyxy in pixels of the input.
        scales: cells per pixel of each map.
        levels: (B, K) float with integer values: the map to read.
        size: bins along each side.
        sampling: points along each side of a bin.

    Returns:
        (B, K, C, size, size).
    """
    sheet, corners = _sheet(maps)  # (B, C, H, W)
    sides = [(int(m.shape[3]), int(m.shape[2])) for m in maps]
    table = [[s, *corner, *side] for s, corner, side in zip(scales, corners, sides, strict=True)]
    about = boxes.new_tensor(table)  # (L, 5): scale, x, y, width, height
    points = size * sampling
    at = _points(boxes, about[levels.long()], points)  # (B, K, xy, points)
    extent = boxes.new_tensor([int(sheet.shape[3]), int(sheet.shape[2])])[:, None]
    at = (2 * at + 1) / extent - 1  # grid_sample's -1..1 from edge to edge

    x, y = at[:, :, 0], at[:, :, 1]  # (B, K, points) each
    count, channels = int(boxes.shape[1]), int(sheet.shape[1])
    grid = torch.stack([x.unsqueeze(2).repeat(1, 1, points, 1), y.unsqueeze(3).repeat(1, 1, 1, points)], dim=-1)
    grid = grid.reshape(-1, count * points, points, 2)
    samples = F.grid_sample(sheet, grid, align_corners=False)  # (B, C, K * points, points)
    bins = F.avg_pool2d(samples, sampling)  # (B, C, K * size, size)
    return bins.reshape(-1, channels, count, size, size).transpose(1, 2)


def _points(boxes: Tensor, about: Tensor, points: int) -> Tensor:
    """The sampling points of each box along each axis.

    Args: boxes (B, K, 4); about (B, K, 5): scale, x, y, width and height of each box's map on the sheet.
    Returns: (B, K, xy, points) in cells of the sheet; OUTSIDE for points that are not on the box's map.
    """
    column = about.unsqueeze(-1)  # (B, K, 5, 1)
    scale, corner, limit = column[:, :, 0:1], column[:, :, 1:3], column[:, :, 3:5]
    ends = boxes.reshape(-1, int(boxes.shape[1]), 2, 2).transpose(-1, -2)  # (B, K, xy, 2)
    ends = ends * scale
    start, length = ends[..., :1], (ends[..., 1:] - ends[..., :1]).clamp(min=1.0)
    step = (torch.arange(points, dtype=boxes.dtype, device=boxes.device) + 0.5) / points
    at = start + step * length  # in cells of the map
    inside = (at >= -1) & (at <= limit)  # up to a cell outside counts as the edge, farther away as zero
    return torch.where(inside, torch.minimum(at.clamp(min=0.0), limit - 1) + corner, OUTSIDE)


def _sheet(maps: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """The maps on one sheet, and the (x, y) of the top left cell of each map."""
    first, rest = maps[0], maps[1:]
    if not rest:
        return first, [(0, 0)]
    height, width = int(first.shape[-2]), int(first.shape[-1])
    side = max(int(m.shape[-1]) for m in rest)
    column = torch.cat([extend(m, -1, side) for m in rest], dim=-2)
    corners = [(0, 0)]
    below = 0
    for m in rest:
        corners.append((width, below))
        below += int(m.shape[-2])
    return torch.cat([first, extend(column, -2, height)], dim=-1), corners


def extend(table: Tensor, dim: int, length: int) -> Tensor:
    """Lengthen a table along one axis by repeating its last row. In a graph, it is one Gather; padding is a dozen."""
    return table.index_select(dim, torch.arange(length, device=table.device).clamp(max=int(table.shape[dim]) - 1))
