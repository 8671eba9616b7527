import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import fixed_size
from watchline.export.request import Request
from watchline.models.efficientnet_lite import normalise
from watchline.models.ssd_lite0 import SSDLite0
from watchline.models.yolo import YOLO

NETWORKS = {"yolo": lambda: YOLO(3), "ssd": lambda: SSDLite0(3, 300), "ssd512": lambda: SSDLite0(3, 512)}


@pytest.fixture(scope="module", params=list(NETWORKS))
def trained(request, tmp_path_factory):
    """A checkpoint with seeded weights and lived-in batch statistics, and its export."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    model = NETWORKS[request.param]().train()
    with torch.no_grad():
        model(torch.randn(2, 3, model.size, model.size))
        if request.param == "yolo":
            model.connected[-1].bias.uniform_(0.1, 0.6)
    torch.save({"model": model.state_dict(), "names": '["cup", "dog", "mug"]'}, folder / "checkpoint.pt")
    onnx.save(to_onnx([folder / "checkpoint.pt"], Request("net")), folder / "net.onnx")
    return model.eval(), folder


def test_the_engine_computes_what_the_network_does(trained):
    model, folder = trained
    batch = np.random.default_rng(0).integers(0, 256, (2, model.size, model.size, 3), np.uint8)
    with engines.load(folder / "net.onnx") as engine:
        outputs = engine.infer(batch)
        assert engine.metadata.labels == ("cup", "dog", "mug")
        assert engine.metadata.imgsz == model.size
    rgb = torch.from_numpy(batch[..., ::-1].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        boxes, scores = model.decoded(model(normalise(rgb)))
    assert outputs["boxes"].shape == boxes.shape
    assert np.abs(outputs["boxes"] - boxes.numpy()).max() < 1  # pixels; weights are FP16
    assert np.abs(outputs["scores"] - scores.numpy()).max() < 5e-3


def test_another_size_is_refused(trained):
    model, folder = trained
    with pytest.raises(ExportRefused, match=f"asked for 416 x 416; this network takes {model.size} x {model.size}"):
        fixed_size.export(folder / "checkpoint.pt", Request("net", size=(416, 416)))


@pytest.mark.parametrize(
    "name", ["connected.0.bias", "connected.3.bias", "extra.0.0.weight", "head.module_list.0.bias"]
)
def test_a_bent_checkpoint_is_refused(tmp_path, name):
    model = NETWORKS["yolo" if name.startswith("connected") else "ssd"]()
    torch.save({"model": model.state_dict() | {name: torch.zeros(9)}}, tmp_path / "bent.pt")
    with pytest.raises(CheckpointRefused, match="it is no network of `watchline train"):
        fixed_size.load(tmp_path / "bent.pt")
    torch.save({"model": {"x": torch.zeros(9)}}, tmp_path / "bent.pt")
    with pytest.raises(CheckpointRefused, match="it is no checkpoint of `watchline train yolo`"):
        fixed_size.load(tmp_path / "bent.pt")
