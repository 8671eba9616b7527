"""R-CNN and Fast R-CNN under the contract of engines: what torch computes, with proposals as a second input."""

import json

import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.engines import metadata
from watchline.engines.errors import RequestRefused
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import regions
from watchline.export.request import Request
from watchline.models.fast_rcnn import FastRCNN
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.rcnn import RCNN

SIZE, COUNT = 64, 30


@pytest.fixture
def few(monkeypatch):
    """Fewer proposals, for speed."""
    monkeypatch.setattr(regions, "PROPOSALS", COUNT)


def checkpoint(folder, name):
    torch.manual_seed(0)
    model = RCNN(2) if name == "rcnn" else FastRCNN(LiteTrunk(hidden=16), 2)
    file = folder / f"{name}.pt"
    torch.save({"model": model.half().float().state_dict(), "names": json.dumps(["cat", "dog"])}, file)
    return file


@pytest.mark.parametrize("name", ["rcnn", "fast-rcnn"])
def test_the_graph_computes_what_the_network_does(few, tmp_path, name):
    file = checkpoint(tmp_path, name)
    made = to_onnx([file], Request(name, size=(SIZE, SIZE)))
    about = metadata.of(made, "it")
    assert (about.task, about.labels, about.size) == ("regions", ("cat", "dog"), (SIZE, SIZE))
    assert not {"If", "Loop", "NonZero"} & {node.op_type for node in made.graph.node}
    onnx.save(made, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    boxes = np.sort(rng.integers(0, SIZE + 1, (2, COUNT, 2, 2)), axis=2).reshape(2, COUNT, 4).astype(np.float32)
    with torch.no_grad():
        rgb = torch.from_numpy(batch[..., ::-1].transpose(0, 3, 1, 2).copy())
        wanted, sure = (v.numpy() for v in regions.load(file)(rgb, torch.from_numpy(boxes)))
    with engines.load(tmp_path / "net.onnx", "onnxruntime") as engine:
        assert engine.rows["proposals"] == (COUNT, 4)
        engine.warm_up()  # with proposals of zeros
        found = engine.infer({"images": batch, "proposals": boxes})
        with pytest.raises(RequestRefused, match=r"the batch has images; expected `images`.*`proposals`"):
            engine.infer(batch)
    assert found["scores"].shape == sure.shape == (2, 2 * COUNT, 2)
    assert np.abs(found["scores"].max(-1) - sure.max(-1)).max() < 1e-3
    same = np.abs(found["boxes"] - wanted).max(-1) < 0.1  # rows of nearly equal scores may change places
    assert same.mean() > 0.9


def test_other_checkpoints_are_refused(tmp_path):
    file = checkpoint(tmp_path, "fast-rcnn")
    state = torch.load(file, weights_only=True)["model"]
    torch.save(state | {"box.weight": torch.zeros(7, 16)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="it is no network of `watchline train fast-rcnn`"):
        regions.load(tmp_path / "other.pt")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "none.pt")
    with pytest.raises(CheckpointRefused, match="it is no checkpoint of `watchline train rcnn`"):
        regions.load(tmp_path / "none.pt")
    assert not regions.is_ours(state | {"rpn.window.weight": torch.zeros(1)})  # that is a Faster R-CNN
