import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import yolo
from watchline.export.request import Request
from watchline.models.efficientnet_lite import normalise
from watchline.models.yolo import GRID, SIZE, YOLO, decode


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint with seeded weights and lived-in batch statistics, and its export."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    model = YOLO(3).train()
    with torch.no_grad():
        model(torch.randn(2, 3, SIZE, SIZE))
        model.connected[-1].bias.uniform_(0.1, 0.6)
    torch.save({"model": model.state_dict(), "names": '["cup", "dog", "mug"]'}, folder / "checkpoint.pt")
    onnx.save(to_onnx([folder / "checkpoint.pt"], Request("net")), folder / "net.onnx")
    return model.eval(), folder


def test_the_engine_computes_what_the_network_does(trained):
    model, folder = trained
    batch = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    with engines.load(folder / "net.onnx") as engine:
        outputs = engine.infer(batch)
        assert engine.metadata.labels == ("cup", "dog", "mug")
        assert engine.metadata.imgsz == SIZE
    rgb = torch.from_numpy(batch[..., ::-1].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        boxes, scores = decode(model(normalise(rgb)))
    assert outputs["boxes"].shape == (2, 2 * GRID * GRID, 4)
    assert np.abs(outputs["boxes"] - boxes.numpy()).max() < 0.5  # pixels; weights are FP16
    assert np.abs(outputs["scores"] - scores.numpy()).max() < 5e-3


def test_another_size_or_a_bent_checkpoint_is_refused(trained, tmp_path):
    model, folder = trained
    with pytest.raises(ExportRefused, match="asked for 416 x 416; YOLO's fully connected layers take 448 x 448"):
        yolo.export(folder / "checkpoint.pt", Request("net", size=(416, 416)))
    torch.save({"model": model.state_dict() | {"connected.3.bias": torch.zeros(9)}}, tmp_path / "bent.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train yolo`"):
        yolo.load(tmp_path / "bent.pt")
    torch.save({"model": model.state_dict() | {"connected.0.bias": torch.zeros(9)}}, tmp_path / "bent.pt")
    with pytest.raises(CheckpointRefused, match="it is no YOLO of ours"):
        yolo.load(tmp_path / "bent.pt")
