import io

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision_here import torchvision

from watchline.models.roi import roi_align

INSIDE = [[8.0, 4.0, 72.0, 60.0], [0.0, 0.0, 96.0, 64.0]]
TINY = [[10.0, 10.0, 10.5, 10.25], [40.0, 20.0, 40.0, 20.0]]
AT_THE_EDGE = [[95.9, 63.9, 96.0, 64.0], [0.0, 60.0, 96.0, 64.0]]
OUTSIDE = [[-30.0, -20.0, 20.0, 30.0], [80.0, 50.0, 140.0, 110.0], [200.0, 200.0, 260.0, 260.0]]


def maps(scale: float, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, int(64 * scale), int(96 * scale), generator=generator)


def align(features, boxes, scale, size, sampling=2):
    """On a single map."""
    return roi_align([features], boxes, [scale], torch.zeros(boxes.shape[:2]), size, sampling)


@pytest.mark.parametrize("boxes", [INSIDE, TINY, AT_THE_EDGE, OUTSIDE], ids=["inside", "tiny", "edge", "outside"])
@pytest.mark.parametrize(("scale", "size", "sampling"), [(1 / 4, 7, 2), (1 / 16, 7, 2), (1 / 8, 3, 1), (1 / 4, 2, 4)])
def test_as_torchvision(boxes, scale, size, sampling):
    features, rows = maps(scale), torch.tensor(boxes)
    expected = torchvision.ops.roi_align(features, [rows], size, scale, sampling)
    assert torch.allclose(align(features, rows[None], scale, size, sampling)[0], expected, atol=1e-4)


def test_pictures_of_a_batch_do_not_mix():
    features, boxes = maps(1 / 4, batch=2), torch.tensor([INSIDE, TINY])
    both = align(features, boxes, 1 / 4, 7)
    assert both.shape == (2, 2, 3, 7, 7)
    for i in range(2):
        assert torch.equal(both[i], align(features[i : i + 1], boxes[i : i + 1], 1 / 4, 7)[0])


def test_a_ramp_is_read_as_its_values():
    """On a map whose cells say where they are, a bin says where its middle is."""
    ramp = torch.arange(24.0).expand(1, 1, 16, 24)
    read = align(ramp, torch.tensor([[[8.0, 8.0, 64.0, 40.0]]]), 1 / 4, 7)
    assert torch.allclose(read[0, 0, 0], 2 + 2 * (torch.arange(7) + 0.5).expand(7, 7), atol=1e-4)


def test_each_box_is_read_from_its_own_level():
    scales = [1 / 4, 1 / 8, 1 / 16]
    pyramid = [maps(s) for s in scales]
    rows = torch.tensor(INSIDE + TINY + AT_THE_EDGE + OUTSIDE)
    for shift in range(3):
        levels = (torch.arange(len(rows)) + shift) % 3
        got = roi_align(pyramid, rows[None], scales, levels[None].float(), 7)[0]
        for level, (features, scale) in enumerate(zip(pyramid, scales, strict=True)):
            mine = levels == level
            expected = torchvision.ops.roi_align(features, [rows[mine]], 7, scale, 2)
            assert torch.allclose(got[mine], expected, atol=1e-4)


def test_gradients_reach_the_map():
    features = maps(1 / 4).requires_grad_()
    align(features, torch.tensor([INSIDE[1:]]), 1 / 4, 7).sum().backward()
    assert (features.grad != 0).float().mean() > 0.5


class Align(nn.Module):
    def forward(self, features, boxes):
        return align(features, boxes, 1 / 4, 7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_exported_it_takes_boxes_that_tracing_never_saw():
    buffer = io.BytesIO()
    names, free = ["features", "boxes"], {0: "batch"}
    example = (maps(1 / 4), torch.tensor([INSIDE]))
    torch.onnx.export(
        Align(), example, buffer, input_names=names, dynamic_axes=dict.fromkeys(names, free), dynamo=False
    )
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    features, boxes = maps(1 / 4, batch=2), torch.tensor([OUTSIDE[:2], AT_THE_EDGE])
    (got,) = session.run(None, {"features": features.numpy(), "boxes": boxes.numpy()})
    assert np.abs(got - align(features, boxes, 1 / 4, 7).numpy()).max() < 1e-4
