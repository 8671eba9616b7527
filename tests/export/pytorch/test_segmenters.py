"""FCN-Lite, FCN and DeconvNet under the contract of engines: class maps as torch computes them."""

import numpy as np
import onnx
import pytest
import torch
from small_nets import thin_vgg

from watchline import engines
from watchline.engines import metadata
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import segmenters
from watchline.export.request import Request
from watchline.models import efficientnet_lite, vgg
from watchline.models.deconvnet import DeconvNet
from watchline.models.fcn import FCN
from watchline.models.fcn_lite import FCNLite
from watchline.ops.camvid import CAMVID
from watchline.ops.voc import VOC

SIZE = (96, 64)  # width, height


def fcn(classes):
    model = FCN(classes, 8, vgg.VGG16(hidden=8))
    for layer in (model.score, *model.skips):
        torch.nn.init.normal_(layer.weight)
    return model


NETS = {
    "FCN-Lite": (lambda: FCNLite(len(CAMVID)), efficientnet_lite.normalise),
    "FCN": (lambda: fcn(21), thin_vgg().normalise),
    "DeconvNet": (lambda: DeconvNet(21, width=2, hidden=8, window=2), thin_vgg().normalise),
}


def lively(model, images):
    """With statistics of these pictures, and scores of which none is always the best."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        if not isinstance(model, FCN):
            model.train()(images)
        score = model.scores[0] if isinstance(model, FCNLite) else model.score
        score.bias -= model.eval()(images).mean((0, 2, 3))
    return model


def pictures():
    blocks = np.random.default_rng(0).integers(0, 256, (2, SIZE[1] // 8, SIZE[0] // 8, 3), np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


def tensor_of(batch):
    return torch.from_numpy(batch[..., ::-1].copy()).permute(0, 3, 1, 2)


@pytest.fixture(scope="module", params=list(NETS))
def exported(request, tmp_path_factory):
    """The network, its checkpoint, and the file that `watchline export` makes of it."""
    build, normalise = NETS[request.param]
    torch.manual_seed(0)
    model = lively(build(), normalise(tensor_of(pictures())))
    folder = tmp_path_factory.mktemp("segmenters")
    torch.save({"model": model.state_dict(), "step": 3}, folder / "checkpoint.pt")
    onnx.save(to_onnx([folder / "checkpoint.pt"], Request("net", size=SIZE)), folder / "net.onnx")
    return model, normalise, folder / "net.onnx"


def test_the_engine_computes_what_the_network_does(exported):
    model, normalise, file = exported
    with engines.load(file) as engine:
        classes = engine.infer(pictures())["classes"]
    with torch.no_grad():
        logits = model(normalise(tensor_of(pictures())))
    best, second = logits.topk(2, dim=1).values.unbind(1)
    expected = logits.argmax(1).numpy()
    assert classes.dtype == np.uint8
    assert len(np.unique(expected)) > 1
    # weights are stored in FP16, so pixels at the border of two classes may change sides
    sure = (best - second > 0.1 * logits.std()).numpy()
    assert sure.mean() > 0.5
    assert (classes == expected)[sure].mean() > 0.995
    assert (classes == expected).mean() > 0.95


def test_the_file_says_what_it_is(exported):
    model, _, file = exported
    about = metadata.read(file)
    assert (about.task, about.resize, about.size) == ("segment", "letterbox-center", SIZE)
    assert about.labels == (CAMVID if isinstance(model, FCNLite) else ("background", *VOC))
    assert about.pad == ((114, 114, 114) if isinstance(model, FCNLite) else vgg.VGG16.pad[::-1])


def test_fcn_lite_takes_other_sizes(tmp_path):
    torch.save({"model": FCNLite(3).state_dict()}, tmp_path / "checkpoint.pt")
    model = segmenters.export(tmp_path / "checkpoint.pt", Request("net", ("a", "b", "c")))
    onnx.save(model, tmp_path / "net.onnx")
    with engines.load(tmp_path / "net.onnx") as engine:
        assert engine.size == (496, 368)
    with engines.load(tmp_path / "net.onnx", size=(160, 96)) as engine:
        assert engine.infer(np.zeros((2, 96, 160, 3), np.uint8))["classes"].shape == (2, 96, 160)


def test_what_cannot_be_is_refused(tmp_path):
    file = tmp_path / "checkpoint.pt"
    torch.save({"model": FCNLite(3).state_dict()}, file)
    with pytest.raises(ExportRefused, match="multiples of 16"):
        segmenters.export(file, Request("net", ("a", "b", "c"), (100, 96)))
    with pytest.raises(ExportRefused, match="3 classes and no names"):
        segmenters.export(file, Request("net"))
    torch.save({"model": {"context.gate.0.weight": torch.zeros(1)}}, file)
    with pytest.raises(CheckpointRefused, match="it is no FCN-Lite"):
        segmenters.export(file, Request("net"))
