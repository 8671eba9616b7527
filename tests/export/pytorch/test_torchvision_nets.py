from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch
from torchvision_here import detections, photos, seeded, tensor_of, torchvision

from watchline import engines
from watchline.engines import metadata
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused
from watchline.export.pytorch import torchvision_nets
from watchline.export.pytorch.torchvision_nets import ARCHS, export, recognise
from watchline.export.request import Request
from watchline.ops.coco import COCO, IDS, UNUSED_IDS
from watchline.ops.voc import VOC

MOBILE, SSDLITE, FCN = "fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large", "fcn_resnet50"
FORBIDDEN = {"If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "RoiAlign", "BatchNormalization"}
MOST_FOR_TOPK = 3840  # of NVIDIA's builder


def saved(network, path, rename=lambda name: name):
    torch.save(OrderedDict((rename(name), weight) for name, weight in network.state_dict().items()), path)
    return path


def run(model, path, pictures):
    onnx.save(model, path)
    with engines.load(path, "onnxruntime") as engine:
        return engine.infer(pictures)


def agrees(network, expected, boxes, scores):
    """What torchvision makes of the engine's rows is what torchvision itself finds."""
    found = detections(network, torch.from_numpy(boxes), torch.from_numpy(scores))
    assert len(expected["scores"]) > 50
    assert (found["scores"] - expected["scores"]).abs().max() < 1e-3
    far = torch.cdist(found["boxes"], expected["boxes"], p=torch.inf)
    far[found["labels"][:, None] != expected["labels"]] = torch.inf
    assert far.min(1).values.max() < 0.05  # pixels: runtimes sum in other orders, and random weights amplify that
    assert len(far.argmin(1).unique()) == len(far)


@pytest.fixture(scope="module")
def mobile(bikes, tmp_path_factory):
    """torchvision's smallest two-stage detector, two photos, the file of its weights, and its export."""
    pictures = photos(bikes, 320, 192)
    network = seeded(MOBILE, pictures, num_classes=21)
    path = saved(network, tmp_path_factory.mktemp("mobile") / "mobile.pth")
    return network, pictures, path, export(path, MOBILE, Request("mobile", size=(320, 192)))


def test_faster_rcnn_finds_what_torchvisions_finds(mobile, tmp_path):
    network, pictures, _, model = mobile
    outputs = run(model, tmp_path / "net.onnx", pictures)
    with torch.no_grad():
        expected = network(list(tensor_of(pictures)))
    for i in range(2):
        agrees(network, expected[i], outputs["boxes"][i], outputs["scores"][i])


def test_the_graph_finds_where_the_picture_ends(mobile, tmp_path):
    """Boxes reach the edges of a picture in the letterbox and not beyond, also of one that fills the input."""
    _, pictures, _, model = mobile
    batch = np.empty_like(pictures)
    batch[:] = (104, 116, 124)
    batch[0, :150, :320] = pictures[0, :150]
    batch[1, :, :200] = pictures[1, :, :200]
    boxes = run(model, tmp_path / "net.onnx", batch)["boxes"]
    assert boxes.max(axis=1)[:, 2:].tolist() == [[320, 150], [200, 192]]
    whole = run(model, tmp_path / "net.onnx", pictures)["boxes"]
    assert whole.max(axis=1)[:, 2:].tolist() == [[320, 192]] * 2
    batch[:] = (104, 116, 124)
    assert np.isfinite(run(model, tmp_path / "net.onnx", batch)["boxes"]).all()


@pytest.mark.parametrize(("arch", "side", "count"), [("ssd300_vgg16", 300, 1), (SSDLITE, 320, 2)])
def test_single_shot_detectors_find_what_torchvisions_find(arch, side, count, bikes, tmp_path):
    pictures = photos(bikes, side, side, count)
    network = seeded(arch, pictures, num_classes=21)
    model = export(saved(network, tmp_path / "net.pth"), arch, Request("net"))
    outputs = run(model, tmp_path / "net.onnx", pictures)
    with torch.no_grad():
        expected = network(list(tensor_of(pictures)))
    for i in range(count):
        agrees(network, expected[i], outputs["boxes"][i], outputs["scores"][i])


def test_mask_rcnn_gives_torchvisions_masks(bikes, tmp_path):
    pictures = photos(bikes, 96, 64, 1)
    network = seeded("maskrcnn_resnet50_fpn", pictures)
    path = saved(network, tmp_path / "net.pth")
    model = export(path, "maskrcnn_resnet50_fpn", Request("net", tuple(f"class {i}" for i in range(90)), (96, 64)))
    outputs = run(model, tmp_path / "net.onnx", np.repeat(pictures, 2, axis=0))
    with torch.no_grad():
        (expected,) = network(list(tensor_of(pictures)))
    assert outputs["masks"].shape == (2, 100, 28, 28)
    assert np.abs(outputs["masks"][0] - outputs["masks"][1]).max() < 1e-4
    agrees(network, expected, outputs["boxes"][0], outputs["scores"][0])
    paste = torchvision.models.detection.roi_heads.paste_masks_in_image
    masks, boxes = torch.from_numpy(outputs["masks"][0]), torch.from_numpy(outputs["boxes"][0])
    far = torch.cdist(expected["boxes"], boxes, p=torch.inf)
    far[expected["labels"][:, None] != torch.from_numpy(outputs["scores"][0]).argmax(1) + 1] = torch.inf
    partner = far.argmin(1)
    assert (paste(masks[partner, None], boxes[partner], (64, 96)) - expected["masks"]).abs().max() < 1e-3


def test_fcn_names_the_pixels_that_torchvisions_names(bikes, tmp_path):
    pictures = photos(bikes, 96, 72)
    network = seeded(FCN, pictures, aux_loss=True)
    model = export(saved(network, tmp_path / "net.pth"), FCN, Request("net", size=(96, 72)))
    classes = run(model, tmp_path / "net.onnx", pictures)["classes"]
    rgb = torchvision.transforms.functional.normalize(tensor_of(pictures), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        logits = network(rgb)["out"]
    best = logits.topk(2, dim=1).values
    clear = (best[:, 0] - best[:, 1] > 1e-3).numpy()  # elsewhere rounding decides
    assert clear.mean() > 0.99
    assert np.array_equal(classes[clear], logits.argmax(1).numpy()[clear])
    assert len(np.unique(classes)) > 3
    about = metadata.read(tmp_path / "net.onnx")
    assert (about.task, about.labels, about.resize) == ("segment", ("background", *VOC), "stretch")


def test_the_file_says_what_it_is(mobile, tmp_path):
    onnx.save(mobile[3], tmp_path / "net.onnx")
    about = metadata.read(tmp_path / "net.onnx")
    assert (about.name, about.task, about.labels) == ("mobile", "detect", tuple(VOC))
    assert (about.imgsz, about.stride, about.resize) == ((320, 192), 32, "letterbox-floor")
    assert about.pad == (104, 116, 124)  # ImageNet's mean in BGR: zero behind the normalisation
    assert len(about.checkpoint) == 64


def test_of_91_columns_the_80_with_a_name_come_out(tmp_path):
    network = torchvision.models.get_model(SSDLITE, weights=None, weights_backbone=None)
    onnx.save(export(saved(network, tmp_path / "net.pth"), SSDLITE, Request("net")), tmp_path / "net.onnx")
    about = metadata.read(tmp_path / "net.onnx")
    assert (about.labels, about.imgsz, about.resize) == (tuple(COCO), 320, "stretch")


def test_columns_without_a_class_are_left_out():
    names = torchvision.models.detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.meta["categories"]
    assert [names[column] for column in IDS] == COCO
    assert {names[column] for column in UNUSED_IDS[1:]} == {"N/A"}


def test_nothing_in_the_graph_depends_on_what_is_in_the_picture(mobile):
    graph = onnx.shape_inference.infer_shapes(mobile[3]).graph
    assert not FORBIDDEN & {node.op_type for node in graph.node}
    values = {v.name: v for v in (*graph.value_info, *graph.output, *graph.input)}
    for output in graph.output:
        first, *others = output.type.tensor_type.shape.dim
        assert first.dim_param == "batch"
        assert all(dim.dim_value > 0 for dim in others)
    for node in graph.node:
        if node.op_type == "TopK":
            assert 0 < values[node.output[0]].type.tensor_type.shape.dim[-1].dim_value <= MOST_FOR_TOPK


@pytest.mark.parametrize("arch", ARCHS)
def test_a_file_tells_its_network(arch, tmp_path):
    network = torchvision.models.get_model(arch, weights=None, weights_backbone=None, num_classes=5)
    assert recognise(saved(network, tmp_path / "net.pth")) == arch


def test_old_names_are_understood(tmp_path):
    network = torchvision.models.get_model("maskrcnn_resnet50_fpn", weights=None, weights_backbone=None)

    def before_0_13(name):
        for new, old in (("_blocks.", "_blocks."), ("rpn.head.conv.0.0", "rpn.head.conv")):
            name = name.replace(new, old)
        for i in range(4):
            name = name.replace(f"fpn.inner_blocks.{i}.0.", f"fpn.inner_blocks.{i}.")
            name = name.replace(f"fpn.layer_blocks.{i}.0.", f"fpn.layer_blocks.{i}.")
            name = name.replace(f"mask_head.{i}.0.", f"mask_head.mask_fcn{i + 1}.")
        return name

    path = saved(network, tmp_path / "net.pth", before_0_13)
    names = torch.load(path, weights_only=True).keys()
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.0.bias", "roi_heads.mask_head.mask_fcn4.bias"} <= names
    assert recognise(path) == "maskrcnn_resnet50_fpn"


def test_weights_from_before_the_epsilon_run_without_one(mobile, tmp_path, monkeypatch):
    network, pictures, path, model = mobile
    monkeypatch.setattr(torchvision_nets, "WITHOUT_EPSILON", (torchvision_nets.sha256(path)[:8],))
    bare = export(path, MOBILE, Request("mobile", size=(320, 192)))
    asked = export(path, MOBILE, Request("mobile", size=(320, 192), epsilon=0.0))  # for those that nobody knows
    assert asked.graph.SerializeToString() == bare.graph.SerializeToString()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    with torch.no_grad():
        expected = network(list(tensor_of(pictures[:1])))[0]
    outputs = run(bare, tmp_path / "net.onnx", pictures[:1])
    agrees(network, expected, outputs["boxes"][0], outputs["scores"][0])
    with_epsilon = run(model, tmp_path / "with.onnx", pictures[:1])
    assert np.abs(outputs["scores"] - with_epsilon["scores"]).max() > 1e-4


def test_a_wrong_arch_is_told_which_one_it_is(mobile):
    with pytest.raises(CheckpointRefused, match=rf"it is no {SSDLITE}: .+ is missing and \d+ more.+ it is {MOBILE}"):
        export(mobile[2], SSDLITE, Request("net"))


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_weights_of_no_network_are_refused(change, mobile, tmp_path):
    state = dict(mobile[0].state_dict())
    name = "roi_heads.box_head.fc7.bias"
    if change == "missing":
        del state[name]
    elif change == "unknown":
        state["more"] = torch.zeros(1)
    else:
        state[name] = torch.zeros(3)
    torch.save(state, tmp_path / "net.pth")
    assert recognise(tmp_path / "net.pth") is None
    words = {
        "missing": f"{name} is missing",
        "unknown": "more is unknown",
        "shape": r"is \(3,\) and should be \(1024,\)",
    }
    with pytest.raises(CheckpointRefused, match=f"{words[change]}.* and 0 more differences; expected a state dict of"):
        export(tmp_path / "net.pth", MOBILE, Request("net"))


@pytest.mark.parametrize(
    ("arch", "request_", "words"),
    [
        ("retinanet", Request("net"), "there is no network 'retinanet'; expected one of fasterrcnn_resnet50_fpn"),
        (MOBILE, Request("net", size=(300, 320)), "asked for 300 x 320; expected multiples of 32 up to 4096 pixels"),
        (MOBILE, Request("net", size=(0, 320)), "asked for 0 x 320; expected multiples of 32 up to 4096 pixels"),
        (MOBILE, Request("net", size=(320, 8192)), "asked for 320 x 8192; expected multiples of 32 up to 4096 pixels"),
        (SSDLITE, Request("net", size=(640, 640)), "asked for 640 x 640; it is made for 320 x 320 only"),
        (MOBILE, Request("net", labels=("a", "b")), "it has 20 classes, but 2 names are given"),
    ],
)
def test_what_cannot_be_is_refused(arch, request_, words, mobile):
    with pytest.raises(ExportRefused, match=words):
        export(mobile[2], arch, request_)


def test_classes_without_names_are_refused(tmp_path):
    network = torchvision.models.get_model(FCN, weights=None, weights_backbone=None, num_classes=7)
    with pytest.raises(ExportRefused, match="it has 7 classes and no names for them; name them with --labels"):
        export(saved(network, tmp_path / "net.pth"), FCN, Request("net"))


def test_a_weight_without_axes_is_of_no_network(tmp_path):
    names = ("roi_heads.box_predictor.cls_score.weight", "classifier.4.weight", torchvision_nets._TAIL)
    torch.save({name: torch.zeros(()) for name in names}, tmp_path / "net.pth")
    assert recognise(tmp_path / "net.pth") is None


def test_no_file_is_told(tmp_path):
    with pytest.raises(CheckpointNotFound):
        export(tmp_path / "none.pth", MOBILE, Request("net"))
