"""Regions, true boxes and pictures for the networks that classify regions."""

import torch

from watchline.models.fast_rcnn import TrueBoxes


def truth(*rows, ignore=()):
    """Rows (x1, y1, x2, y2, class)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    flags = torch.zeros(len(table), dtype=torch.bool)
    flags[list(ignore)] = True
    return TrueBoxes(table[:, :4], table[:, 4].long(), flags)


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def boxes_in(size, count, seed=0):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor(size)
    corners = corners.sort(dim=1).values
    corners[:, 1] += 1
    return corners.reshape(count, 4)


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def noise(count, width, height, seed=0):
    """Blocks of 8 pixels, so that the networks see something."""
    blocks = torch.rand(count, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed)) * 255
    return blocks.repeat_interleave(8, 2).repeat_interleave(8, 3).floor()
