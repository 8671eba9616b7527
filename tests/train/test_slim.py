import numpy as np
import onnx
import pytest
import torch

from watchline.export.pytorch import yolov2 as exporter
from watchline.export.request import Request
from watchline.models.errors import CheckpointError
from watchline.models.yolov2 import SHAPES, YOLOv2
from watchline.train import slim
from watchline.train.initial import read


@pytest.fixture
def trained(tmp_path):
    """A whole network whose batch norms are not the identity, its checkpoint, and its ONNX."""
    torch.manual_seed(0)
    model = YOLOv2(torch.tensor([[1.0, 2.0], [4.0, 3.0]]))
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 64, 64))
    torch.save({"model": model.state_dict()}, tmp_path / "whole.pt")
    onnx.save(exporter.export(tmp_path / "whole.pt", Request("whole")), tmp_path / "whole.onnx")
    return model.eval(), tmp_path


def test_channels_that_say_the_same_are_not_both_kept():
    rng = torch.Generator().manual_seed(0)
    three = torch.randn(4, 3, 20, 20, generator=rng)
    inside = torch.cat([three, three[:, :2] * 2 + 0.01 * torch.randn(4, 2, 20, 20, generator=rng)], dim=1)
    wanted = torch.stack([three[:, 0] + 2 * three[:, 1], three[:, 2] - 1], dim=1)
    keep, weight, bias = slim.rebuild(inside, wanted, 3)
    assert 2 in keep.tolist()
    assert len({int(k) % 3 for k in keep}) == 3
    rebuilt = torch.einsum("bchw,dc->bdhw", inside[:, keep], weight) + bias[:, None, None]
    assert torch.allclose(rebuilt, wanted, atol=0.1)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_slim_network_is_trained_and_exported_as_the_whole_one(trained, shape):
    small = slim.slim(read(trained[1] / "whole.onnx"), shape, torch.randn(4, 3, 96, 96))
    assert small.backbone.widths == shape.widths
    torch.save({"model": small.state_dict()}, trained[1] / "slim.pt")
    again = exporter.load(trained[1] / "slim.pt")
    assert again.backbone.widths == shape.widths
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(x), small.eval()(x))
    count = [sum(p.numel() for p in m.parameters()) for m in (small, trained[0])]
    assert count[0] < count[1] * 0.75
    assert np.isfinite(list(small.state_dict()["region.weight"].flatten())).all()
    with pytest.raises(CheckpointError, match="expected a complete EfficientNet-Lite0"):
        slim.slim(again, shape, x)
