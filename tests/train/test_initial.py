"""The network that a training starts from predicts as before, in training too; other files are named in an error."""

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from pictures import picture
from torch import nn

from watchline import engines
from watchline.engines import metadata, zoo
from watchline.engines.errors import ModelNotFound, ModelRefused
from watchline.export.pytorch import yolov2 as exporter
from watchline.export.pytorch.exported import calibrate
from watchline.export.request import Request
from watchline.models.efficientnet_lite import WHOLE, EfficientNetLite0, normalise
from watchline.models.errors import CheckpointError
from watchline.models.yolov2 import HIDDEN, SHAPES, YOLOv2, decode
from watchline.ops.voc import VOC
from watchline.train import yolov2
from watchline.train.initial import network, read, sources

KINDS = {
    "whole": (EfficientNetLite0, WHOLE, HIDDEN),
    "slim": (SHAPES["slim"].backbone, SHAPES["slim"].widths, SHAPES["slim"].hidden),
}
PRIORS = torch.tensor([[1.0, 2.0], [4.0, 3.0], [2.0, 2.0]])


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """A network whose answers depend on the picture, as NAME.pt and NAME.onnx; the latter is returned."""
    folder = tmp_path_factory.mktemp("initial")
    torch.manual_seed(0)
    backbone, _, hidden = KINDS[request.param]
    model = YOLOv2(PRIORS, 20, backbone(), hidden)
    nn.init.normal_(model.region.weight, std=0.05)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # its statistics are the mean of what it has seen
    with torch.no_grad():
        model.train()(normalise(torch.randint(0, 256, (16, 3, 64, 64))))
    torch.save({"model": model.state_dict()}, folder / f"{request.param}.pt")
    file = folder / f"{request.param}.onnx"
    onnx.save(exporter.export(file.with_suffix(".pt"), Request("net")), file)
    return file


def engine_answers(file, bgr):
    with engines.load(file, size=bgr.shape[2:0:-1]) as engine:
        outputs = engine.infer(bgr)
    return outputs["boxes"], outputs["scores"]


def answers(model, bgr):
    x = normalise(torch.from_numpy(bgr[..., ::-1].copy()).permute(0, 3, 1, 2))
    with torch.no_grad():
        return [t.numpy() for t in decode(model(x), model.priors)]


def assert_same(file, model, bgr):
    boxes, scores = engine_answers(file, bgr)
    again = answers(model, bgr)
    assert np.abs(scores - again[1]).max() < 1e-3
    longest = np.maximum(boxes[..., 2:] - boxes[..., :2], 1).max(axis=-1, keepdims=True)
    assert (np.abs(boxes - again[0]) < 1e-3 * longest).all()
    assert np.ptp(boxes, axis=0).max() > 5  # pixels: they depend on the picture


def test_it_is_read_back_from_its_onnx(exported):
    model = read(exported)
    assert model.backbone.widths == KINDS[exported.stem][1]
    assert_same(exported, model, np.random.default_rng(0).integers(0, 256, (3, 96, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def frames(bikes):
    """(6, 320, 320, 3) uint8 BGR of a street."""
    capture = cv2.VideoCapture(str(bikes))
    read_ones = [capture.read()[1] for _ in range(240)][::40]
    return np.stack([cv2.resize(frame, (320, 320)) for frame in read_ones])


@pytest.mark.parametrize("name", [name for name in zoo.names() if name.startswith("yolov2")])
def test_what_ships_is_read_back(name, frames):
    assert_same(zoo.find(name), read(zoo.find(name)), frames)


@pytest.mark.parametrize("name", [name for name in zoo.names() if name.startswith("yolov2")])
def test_in_training_what_ships_knows_what_it_knew(name, frames):
    model = read(zoo.find(name))
    before = answers(model, frames)[1]
    assert np.abs(answers(model.train(), frames)[1] - before).max() > 0.3  # it would have forgotten
    model = read(zoo.find(name))
    calibrate(model, normalise(torch.from_numpy(frames[..., ::-1].copy()).permute(0, 3, 1, 2)))
    assert np.abs(answers(model, frames)[1] - before).max() < 1e-3
    assert np.abs(answers(model.train(), frames)[1] - before).max() < 0.02


@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_a_training_goes_on_from_it(exported, suffix, tmp_path):
    recipe = yolov2.Recipe(steps=1, batch=2, sizes=(64,), calm_sizes=(64,), priors=3)
    data = [picture(i, boxes=[(5 * i, 10, 5 * i + 30, 50)], group=i % 3) for i in range(6)]
    [figures] = yolov2.train(data, tmp_path, recipe, 1, start=exported.with_suffix(suffix))
    assert np.isfinite(figures["loss"])
    trained = exporter.load(tmp_path / "average.pt")
    assert trained.backbone.widths == KINDS[exported.stem][1]
    if suffix == ".onnx":  # its batch normalisations have factors again
        assert trained.backbone.stem[1].weight.detach().std() > 0.01


def test_without_a_file_the_backbone_is_imagenet_s():
    assert torch.equal(network(None, PRIORS).backbone.stem[0].weight, EfficientNetLite0.pretrained().stem[0].weight)


def test_new_priors_change_no_answer(exported):
    priors = torch.tensor([[2.0, 1.0], [3.0, 5.0], [0.7, 0.9]])
    bgr = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    old, new = (answers(network(exported, p).eval(), bgr)[0] for p in (PRIORS, priors))
    assert np.allclose(old, new, rtol=1e-4, atol=1e-3)


def test_what_is_no_network_is_named(exported, tmp_path):
    with pytest.raises(CheckpointError, match=r"no network none\.pt to start from: expected a \.pt of a training"):
        network(tmp_path.joinpath("none.pt").relative_to(tmp_path), PRIORS)
    with pytest.raises(ModelNotFound, match="there is no such file"):
        network(tmp_path / "none.onnx", PRIORS)
    for suffix, error in ((".pt", CheckpointError), (".onnx", ModelRefused)):
        (tmp_path / f"broken{suffix}").write_bytes(b"broken")
        with pytest.raises(error, match="broken"):
            network(tmp_path / f"broken{suffix}", PRIORS)
    with pytest.raises(CheckpointError, match="has 3 priors; expected 6: name another --from"):
        network(exported, torch.ones(6, 2))


@pytest.mark.parametrize("saved", [{}, {"model": {}}, {"model": 3}, {"model": {"priors": torch.zeros(2, 2)}}])
def test_checkpoints_of_other_networks(saved, tmp_path):
    torch.save(saved, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"is not a network of `watchline train yolov2`: name another --from"):
        network(tmp_path / "other.pt", PRIORS)


def scores_of(region, count):
    """Weights and biases of the classes' scores (K, C, hidden + 1), and of the other five outputs."""
    table = torch.cat([region.weight.flatten(1), region.bias[:, None]], dim=1).view(count, -1, region.in_channels + 1)
    return table[:, 5:], table[:, :5]


@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_classes_of_the_same_name_keep_their_scores_and_others_begin_anew(exported, suffix):
    before, boxes = scores_of(network(exported.with_suffix(suffix), PRIORS).region, 3)
    model = network(exported.with_suffix(suffix), PRIORS, ("giraffe", "airplane", "dog"))
    after, boxes_now = scores_of(model.region, 3)
    assert model.classes == 3
    assert torch.equal(boxes, boxes_now)
    assert torch.equal(after[:, 1], before[:, VOC.index("aeroplane")])
    assert torch.equal(after[:, 2], before[:, VOC.index("dog")])
    assert after[:, 0, :-1].abs().max() < 0.1  # drawn anew
    assert torch.allclose(after[:, 0, -1], before[..., -1].mean(1))
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3 * 8, 4, 4)


def test_a_training_of_ones_own_classes_is_gone_on_from_by_their_names(exported, tmp_path):
    recipe = yolov2.Recipe(steps=1, batch=1, sizes=(64,), calm_sizes=(64,), priors=3)
    data = [picture(i, boxes=[(5 * i, 10, 5 * i + 30, 50)], classes=2) for i in range(3)]
    list(yolov2.train(data, tmp_path, recipe, 1, start=exported, names=("cup", "dog")))
    model = exporter.export(tmp_path / "average.pt", Request("mine"))
    about = metadata.of(model, "mine")
    assert (about.labels, about.imgsz) == (("cup", "dog"), 64)  # no --labels, no --imgsz
    onnx.save(model, tmp_path / "mine.onnx")
    for file in ("average.pt", "mine.onnx"):
        assert sources(tmp_path / file, ("dog", "spoon", "cup")) == [1, None, 0]
    with pytest.raises(CheckpointError, match="started with other classes, which differ in cup, mug; continue with"):
        list(yolov2.train(data, tmp_path, recipe, 1, names=("mug", "dog")))


def bent(graph, index, array):
    weight = graph.initializer[index]
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


@pytest.mark.parametrize("change", ["a weight is missing", "a weight has another shape", "two could be its priors"])
def test_onnx_of_other_networks(exported, change, tmp_path):
    model = onnx.load(exported)
    names = [weight.name for weight in model.graph.initializer]
    if change == "a weight is missing":
        del model.graph.initializer[names.index("model.region.bias.half")]
    elif change == "a weight has another shape":
        bent(model.graph, names.index("model.fine.0.bias.half"), np.zeros(3, np.float16))
    else:
        bent(model.graph, names.index("model.region.bias.half"), np.zeros((1, 3, 1, 1, 2), np.float16))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(
        CheckpointError, match=r"other\.onnx is not a YOLOv2 of `watchline train yolov2` that was exported"
    ):
        network(tmp_path / "other.onnx", PRIORS)
