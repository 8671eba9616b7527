"""The yardstick of gpu.py: PyTorch modules with random weights, from the float picture to the raw outputs."""

from collections.abc import Iterator
from pathlib import Path

import torch
from gpu_models import SIDE, yolov2_weights
from torch import nn
from yolov2_runtimes import TorchNetwork

from watchline.export.darknet import weights as darknet_weights
from watchline.models.yolov2 import YOLOv2


def networks(folder: Path, quick: bool) -> Iterator[tuple[str, int, nn.Module]]:
    """Name, side of the input in pixels, and the network, whose input is (B, 3, side, side)."""
    torch.manual_seed(0)
    side = 96 if quick else 416
    yield f"yolov2-lite0 {side}", side, YOLOv2(torch.rand(6, 2) * 10).eval()
    if not quick:
        plan, weights = yolov2_weights(folder)
        yield f"yolov2 {SIDE}", SIDE, TorchNetwork(plan, darknet_weights.convolutions(weights, plan)).eval()
