"""True boxes for the losses of single-shot detectors."""

import torch
from torch.nn import functional as F

from watchline.models.single_shot import Targets


def targets(*rows, ignore=(), sure=1.0, opened=()):
    """Rows (image, x1, y1, x2, y2, class) in pixels; `opened` (image, x1, y1, x2, y2, class) where a class is open."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    flags = torch.zeros(len(table), dtype=torch.bool)
    flags[list(ignore)] = True
    parts = torch.tensor(opened, dtype=torch.float32).reshape(-1, 6)
    return Targets(
        table[:, 0].long(),
        table[:, 1:5],
        table[:, 5].long(),
        flags,
        torch.full((len(table),), sure),
        parts[:, 0].long(),
        parts[:, 1:5],
        F.one_hot(parts[:, 5].long(), 3).bool() if len(parts) else torch.zeros(0, 3, dtype=torch.bool),
    )
