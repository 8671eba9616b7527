import numpy as np
import onnx
import pytest
import torch

from watchline import engines
from watchline.engines import metadata
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused
from watchline.export.pytorch import faster_rcnn
from watchline.export.request import Request
from watchline.models.faster_rcnn import SCALES, SIDE, FasterRCNN, RegionSettings, place_anchors
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.vgg import VGG16
from watchline.ops.voc import VOC

SIZE = (128, 96)  # width, height
TRUNKS = {"vgg16": VGG16, "efficientnet-lite0": LiteTrunk}


def checkpoint(folder, trunk, classes=20, side=96):
    """A seeded network, its last layers scaled so that scores and boxes spread as those of a trained one do."""
    torch.manual_seed(0)
    settings = RegionSettings(scales=tuple(scale * side / SIDE for scale in SCALES))
    model = FasterRCNN(TRUNKS[trunk](hidden=48), classes, settings).eval()
    with torch.no_grad():
        features = model.trunk.features(model.trunk.normalise(torch.from_numpy(pictures(2)).permute(0, 3, 1, 2)))
        regions = place_anchors(settings.scales, SIZE, 16).clamp(0, 96)[::5].expand(2, -1, -1)
        outputs = (*model.rpn(features), *model.classify(features, regions))
        layers = (model.rpn.objectness, model.rpn.deltas, model.score, model.box)
        for layer, output, spread in zip(layers, outputs, (2.0, 0.3, 3.0, 1.0), strict=True):
            layer.weight.mul_(spread / output.std(dim=(0, 1)).mean())
    file = folder / "checkpoint.pt"
    torch.save({"network": "faster-rcnn", "trunk": trunk, "model": model.state_dict(), "step": 3}, file)
    return file


@pytest.fixture(scope="module", params=list(TRUNKS))
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    file = checkpoint(folder, request.param)
    model = faster_rcnn.export(file, Request("net", size=SIZE))
    onnx.save(model, folder / "net.onnx")
    return file, folder / "net.onnx", request.param


def pictures(count):
    blocks = np.random.default_rng(0).integers(0, 256, (count, SIZE[1] // 8, SIZE[0] // 8, 3), np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


def test_the_engine_computes_what_the_network_does(exported):
    checkpoint, file, _ = exported
    batch = pictures(3)
    with engines.load(file) as engine:
        outputs = engine.infer(batch)
    rgb = torch.from_numpy(batch[..., ::-1].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        boxes, scores = (v.numpy() for v in faster_rcnn.load(checkpoint)(rgb))
    assert outputs["boxes"].shape == boxes.shape == (3, 1000, 4)
    assert np.abs(outputs["scores"].max(-1) - scores.max(-1)).max() < 1e-3
    assert scores.max() > 0.5
    ours, theirs = (np.concatenate(pair, -1) for pair in ((outputs["boxes"], outputs["scores"]), (boxes, scores)))
    for picture in range(3):  # rows of nearly equal scores may change places, the last ones beyond the end
        likely = theirs[picture][scores[picture].max(-1) > 0.01]
        distance = np.abs(likely[:, None] - ours[picture][None]).max(-1).min(1)  # in pixels and in score
        assert len(likely) > 100
        # RoI pooling rounds to whole cells: where a coordinate is at a half, the last bit decides what a region sees.
        assert np.quantile(distance, 0.99) < 1e-3


def test_a_batch_of_any_size_gives_each_picture_its_own(exported):
    batch = pictures(3)
    with engines.load(exported[1]) as engine:
        together = engine.infer(batch)
        for i in range(3):
            alone = engine.infer(batch[i : i + 1])
            assert np.allclose(alone["scores"].max(-1)[0], together["scores"].max(-1)[i], atol=1e-5)


def test_the_file_says_what_it_is(exported):
    _, file, trunk = exported
    about = metadata.read(file)
    assert (about.name, about.task, about.labels) == ("net", "detect", tuple(VOC))
    assert (about.imgsz, about.resize) == ((128, 96), "letterbox")
    assert about.stride == {"vgg16": 16, "efficientnet-lite0": 32}[trunk]
    assert about.pad == {"vgg16": (104, 116, 124), "efficientnet-lite0": (127, 127, 127)}[trunk]  # BGR
    assert len(about.checkpoint) == 64


def test_the_graph_has_static_shapes_and_plain_operators(exported):
    graph = onnx.load(exported[1]).graph
    used = {node.op_type for node in graph.node}
    assert not used & {"If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "RoiAlign", "MaxRoiPool", "Unique"}
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    shape = [d.dim_value or d.dim_param for d in graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 96, 128, 3]
    outputs = {o.name: [d.dim_value or d.dim_param for d in o.type.tensor_type.shape.dim] for o in graph.output}
    assert outputs == {"boxes": ["batch", 1000, 4], "scores": ["batch", 1000, 20]}


def test_the_size_of_the_training_is_the_default(tmp_path):
    model = faster_rcnn.export(checkpoint(tmp_path, "efficientnet-lite0", side=160), Request("net"))
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]] == [160, 160, 3]


def test_labels_of_other_classes_must_be_given(tmp_path):
    file = checkpoint(tmp_path, "efficientnet-lite0", classes=2)
    with pytest.raises(ExportRefused, match="it has 2 classes and no names for them; name them with --labels"):
        faster_rcnn.export(file, Request("net"))
    with pytest.raises(ExportRefused, match="it has 2 classes, but 1 names are given"):
        faster_rcnn.export(file, Request("net", labels=("cat",)))
    model = faster_rcnn.export(file, Request("net", labels=("cat", "dog")))
    onnx.save(model, tmp_path / "net.onnx")
    assert metadata.read(tmp_path / "net.onnx").labels == ("cat", "dog")


@pytest.mark.parametrize("size", [(100, 96), (96, 0), (96, 8192)])
def test_a_size_that_cannot_be_is_refused(tmp_path, size):
    with pytest.raises(ExportRefused, match=f"asked for {size[0]} x {size[1]}; expected multiples of 32 up to 4096"):
        faster_rcnn.export(checkpoint(tmp_path, "efficientnet-lite0"), Request("net", size=size))


def test_weights_in_fp16_are_widened(tmp_path):
    file = checkpoint(tmp_path, "efficientnet-lite0")
    state = torch.load(file, weights_only=True)["model"]
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, file)
    faster_rcnn.export(file, Request("net", size=(64, 64)))
    assert {p.dtype for p in faster_rcnn.load(file).parameters()} == {torch.float32}


def test_other_checkpoints_are_refused(tmp_path):
    with pytest.raises(CheckpointNotFound, match=r"none\.pt: there is no such file"):
        faster_rcnn.load(tmp_path / "none.pt")
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train faster-rcnn`"):
        faster_rcnn.load(tmp_path / "other.pt")
    file = checkpoint(tmp_path, "efficientnet-lite0")
    saved = torch.load(file, weights_only=True)
    for change, words in (
        (("rpn.deltas.weight", None), "Missing key.*rpn.deltas.weight"),
        (("rpn.deltas.weight", torch.zeros(3, 128, 1, 1)), "size mismatch for rpn.deltas.weight"),
        (("score.weight", torch.zeros(3)), "no Faster R-CNN on efficientnet-lite0"),
        (("scales", torch.zeros(())), "no Faster R-CNN on efficientnet-lite0"),
        (("scales", torch.zeros(0)), "no Faster R-CNN on efficientnet-lite0: 20 classes, and anchors of"),
        (("scales", torch.tensor([1.0, torch.nan, 3.0])), "20 classes, and anchors of"),
        (("score.weight", torch.zeros(1, 48)), "no Faster R-CNN on efficientnet-lite0: 0 classes"),
    ):
        state = dict(saved["model"])
        state.update({change[0]: change[1]}) if change[1] is not None else state.pop(change[0])
        torch.save({"model": state}, tmp_path / "broken.pt")
        with pytest.raises(CheckpointRefused, match=words) as caught:
            faster_rcnn.load(tmp_path / "broken.pt")
        assert "\n" not in str(caught.value)
