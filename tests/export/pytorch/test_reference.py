"""What torch computes, and that its layers are found in the ONNX by the names of its tensors."""

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from watchline.engines.inside import of_the_picture
from watchline.export.pytorch import reference
from watchline.export.pytorch.trace import noted, trace
from watchline.measure.layers import relative


class Net(nn.Module):
    """Layers in every kind of nest: plain, Sequential in Sequential, ModuleList; one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.body = nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(inplace=True)), nn.Conv2d(4, 4, 1))
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid())])
        self.twice = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(images.permute(0, 3, 1, 2).float() / 255)  # (B, 4, H/2, W/2)
        x = self.body(x)
        for block in self.blocks:
            x = block(x)
        scores = self.twice(self.twice(x)).flatten(2).transpose(1, 2).sigmoid()  # (B, N, 4)
        return scores * 16, scores


@pytest.fixture(scope="module")
def traced():
    torch.manual_seed(0)
    with reference.traced() as modules:
        model = trace(Net(), (16, 8), {"boxes": {0: "batch"}, "scores": {0: "batch"}}, free=False)
    return modules[-1], model


BATCH = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 3)).astype(np.uint8)


def test_outputs_have_the_names_of_the_model(traced) -> None:
    module, model = traced
    outputs = reference.run(module, model, BATCH)
    expected = ReferenceEvaluator(model).run(None, {"images": BATCH})
    assert list(outputs) == ["boxes", "scores"]
    for ours, theirs in zip(outputs.values(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_layers_have_the_names_of_tensors(traced) -> None:
    """In-place layers do not spoil what was before them; the one that is used twice has no one answer."""
    module, model = traced
    layers = dict(reference.inside(module, model, BATCH))
    tensors = ReferenceEvaluator(model).run(None, {"images": BATCH}, intermediate=True)
    assert len(layers) == 7
    assert set(layers) <= set(of_the_picture(model.graph))
    assert not any("twice" in name for name in layers)
    for name, values in layers.items():
        assert relative(tensors[name], values) < 1e-5, name
    assert min(values.min() for name, values in layers.items() if "Conv" in name) < 0


def test_nothing_is_noted_when_nobody_asks() -> None:
    with reference.traced() as modules:
        pass
    trace(Net(), (16, 8), {"boxes": {0: "batch"}, "scores": {0: "batch"}}, free=False)
    assert modules == []
    assert noted.get() is None
