"""The localizer under the contract of engines: guesses as torch computes them."""

import json

import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.engines import metadata
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import localizer
from watchline.export.request import Request
from watchline.models.efficientnet_lite import normalise
from watchline.models.localizer import SIDE, Localizer, decode


@pytest.fixture(params=[1, 3])
def checkpoint(request, tmp_path):
    torch.manual_seed(0)
    model = Localizer(3, request.param)
    file = tmp_path / "checkpoint.pt"
    torch.save({"model": model.half().float().state_dict(), "names": json.dumps(["cat", "dog", "cow"])}, file)
    return file


def test_the_graph_computes_what_the_network_does(checkpoint, tmp_path):
    model = localizer.load(checkpoint)
    made = to_onnx([checkpoint], Request("localizer"))
    about = metadata.of(made, "it")
    assert (about.labels, about.size, about.resize) == (("cat", "dog", "cow"), (SIDE, SIDE), "stretch")
    onnx.save(made, tmp_path / "localizer.onnx")
    batch = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    with torch.no_grad():
        rgb = torch.from_numpy(batch[..., ::-1].transpose(0, 3, 1, 2).copy())
        boxes, scores = decode(*model(normalise(rgb)), SIDE)
    with engines.load(tmp_path / "localizer.onnx", "onnxruntime") as engine:
        found = engine.infer(batch)
    assert scores.amax(-1).std() > 1e-3
    assert np.abs(found["scores"] - scores.numpy()).max() < 1e-3
    assert np.abs(found["boxes"] - boxes.numpy()).max() < 0.1


def test_another_size_and_other_checkpoints_are_refused(checkpoint, tmp_path):
    with pytest.raises(ExportRefused, match="take 224 x 224 alone"):
        to_onnx([checkpoint], Request("localizer", size=(448, 448)))
    state = torch.load(checkpoint, weights_only=True)["model"]
    state["heads.locate.5.weight"] = torch.zeros(12, 7)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="it is no localizer"):
        to_onnx([tmp_path / "other.pt"], Request("localizer"))
