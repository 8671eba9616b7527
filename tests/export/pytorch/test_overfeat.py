"""OverFeat under the contract of engines: candidates as torch computes them, to be merged."""

import json

import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.engines import metadata
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import overfeat
from watchline.export.request import Request
from watchline.models.overfeat import OverFeat


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "checkpoint.pt"
    torch.save({"model": OverFeat(2).half().float().state_dict(), "names": json.dumps(["cat", "dog"])}, file)
    return file


def test_the_graph_computes_what_the_network_does(checkpoint, tmp_path):
    made = to_onnx([checkpoint], Request("overfeat", size=(64, 64)))
    about = metadata.of(made, "it")
    assert (about.labels, about.size, about.candidates) == (("cat", "dog"), (64, 64), "merge")
    onnx.save(made, tmp_path / "overfeat.onnx")
    batch = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    with torch.no_grad():
        boxes, scores = overfeat.load(checkpoint)(torch.from_numpy(batch[..., ::-1].transpose(0, 3, 1, 2).copy()))
    with engines.load(tmp_path / "overfeat.onnx", "onnxruntime") as engine:
        found = engine.infer(batch)
    assert np.abs(found["scores"].max(-1) - scores.amax(-1).numpy()).max() < 1e-3
    same = found["scores"].argmax(-1) == scores.argmax(-1).numpy()
    assert same.mean() > 0.99
    assert np.abs(found["boxes"] - boxes.numpy())[same].max() < 0.1


def test_sizes_that_are_no_square_and_other_checkpoints_are_refused(checkpoint, tmp_path):
    with pytest.raises(ExportRefused, match="expected a square"):
        to_onnx([checkpoint], Request("overfeat", size=(448, 416)))
    state = torch.load(checkpoint, weights_only=True)["model"]
    state["heads.locate.5.weight"] = torch.zeros(12, 7)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="it is no OverFeat"):
        to_onnx([tmp_path / "other.pt"], Request("overfeat"))
