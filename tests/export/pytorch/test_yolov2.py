import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused
from watchline.export.pytorch import yolov2
from watchline.export.request import Request
from watchline.models.efficientnet_lite import normalise
from watchline.models.yolov2 import YOLOv2, decode


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint with seeded weights and lived-in batch statistics, and its export."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    model = YOLOv2(torch.tensor([[1.0, 2.0], [4.0, 4.0]])).train()
    for _ in range(3):
        model(torch.randn(2, 3, 64, 64))
    torch.save({"model": model.state_dict(), "priors": model.priors}, folder / "checkpoint.pt")
    onnx.save(yolov2.export(folder / "checkpoint.pt", Request("net", size=(96, 96))), folder / "net.onnx")
    return model.eval(), folder


@pytest.mark.parametrize("size", [(96, 96), (128, 64)])
def test_the_engine_computes_what_the_network_does(trained, size):
    model, folder = trained
    width, height = size
    batch = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    engine = engines.load(folder / "net.onnx", size=size)
    outputs = engine.infer(batch)
    engine.close()
    rgb = torch.from_numpy(batch[..., ::-1].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        boxes, scores = decode(model(normalise(rgb)), model.priors)
    assert np.abs(outputs["boxes"] - boxes.numpy()).max() < 0.5  # pixels; weights are FP16
    assert np.abs(outputs["scores"] - scores.numpy()).max() < 5e-3


def test_the_file_says_what_it_is_and_is_half_the_size(trained):
    model, folder = trained
    engine = engines.load(folder / "net.onnx")
    about = engine.metadata
    engine.close()
    assert (about.name, about.task, about.imgsz, about.stride, about.resize) == ("net", "detect", 96, 32, "letterbox")
    assert len(about.labels) == 20
    assert about.checkpoint == sha256(folder / "checkpoint.pt")
    parameters = sum(p.numel() for p in model.parameters())
    assert (folder / "net.onnx").stat().st_size < 2.2 * parameters


def test_no_batch_normalisation_is_left(trained):
    graph = onnx.load(trained[1] / "net.onnx").graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_a_wrong_checkpoint_is_named(tmp_path, trained):
    with pytest.raises(CheckpointNotFound, match="there is no such file"):
        yolov2.load(tmp_path / "none.pt")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train yolov2`"):
        yolov2.load(tmp_path / "other.pt")
    model, _ = trained
    for change in (
        {"region.bias": torch.zeros(())},
        {"priors": torch.zeros(())},
        {"priors": torch.zeros(0, 2)},
        {"priors": torch.zeros(2, 3)},
    ):
        torch.save(model.state_dict() | change, tmp_path / "bent.pth")
        with pytest.raises(CheckpointRefused, match=r"its priors .* and its region do not go together"):
            yolov2.load(tmp_path / "bent.pth")
    state = model.state_dict() | {"backbone.stem.0.weight": torch.zeros(1)}
    torch.save({"model": state}, tmp_path / "bent.pt")
    with pytest.raises(CheckpointRefused, match="its backbone is not the one"):
        yolov2.load(tmp_path / "bent.pt")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("net", labels=("a", "b")), "it has 20 classes, but 2 names are given"),
        (Request("net", size=(96, 64)), "asked for 96 x 64; name one side"),
        (Request("net", size=(100, 100)), "asked for 100; expected a multiple of 32 up to 4096 pixels"),
        (Request("net", size=(8192, 8192)), "asked for 8192; expected a multiple of 32 up to 4096 pixels"),
    ],
)
def test_requests_that_do_not_go_with_it(trained, request_, message):
    with pytest.raises(ExportRefused, match=message):
        yolov2.export(trained[1] / "checkpoint.pt", request_)


def test_labels_of_ones_own(tmp_path):
    torch.manual_seed(0)
    model = YOLOv2(torch.tensor([[1.0, 2.0]]), classes=2)
    torch.save({"model": model.state_dict(), "priors": model.priors}, tmp_path / "checkpoint.pt")
    graph = yolov2.export(tmp_path / "checkpoint.pt", Request("net", labels=("cat", "dog")))
    onnx.save(graph, tmp_path / "net.onnx")
    with engines.load(tmp_path / "net.onnx", size=(64, 64)) as engine:
        assert engine.metadata.labels == ("cat", "dog")
        assert engine.infer(np.zeros((1, 64, 64, 3), np.uint8))["scores"].shape == (1, 16, 2)
