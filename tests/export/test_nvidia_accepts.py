"""Every kind of model that we export, in every precision: NVIDIA's own parser and builder take it.

With the profile of production, 1 to 4 pictures of the model's own size. Building takes long where suppression of many
boxes is unrolled. Their number follows from the size, which is the user's: two-stage networks (and FCN) have small
pictures here, and so one to eight blocks of suppression in place of up to sixteen, made by the same code.

Small networks take all three precisions. Large ones are left out in FP32, whose graph is that of INT8 without
QuantizeLinear and DequantizeLinear. The largest take one precision each, and smaller ones of the same family (a pyramid
with two stages, FCN) what those do not.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import darknet_nets as nets
import numpy as np
import onnx
import pytest
import stranger_forms as forms
import torch
from numpy.typing import NDArray
from nvidia_builder import accepts, needs_builder
from onnx import TensorProto
from strangers import save
from torch import nn
from torchvision_here import photos, torchvision

from watchline.engines import metadata, zoo
from watchline.export.darknet import export as darknet
from watchline.export.detectors import export as foreign
from watchline.export.precision.fp16 import half
from watchline.export.precision.int8 import quantise
from watchline.export.pytorch import faster_rcnn, mask_rcnn, segmenters, torchvision_nets, yolov2
from watchline.export.request import Request
from watchline.models.deconvnet import DeconvNet
from watchline.models.fast_rcnn import TRUNKS
from watchline.models.faster_rcnn import SCALES, SIDE, FasterRCNN, RegionSettings
from watchline.models.fcn import FCN
from watchline.models.fcn_lite import FCNLite
from watchline.models.mask_rcnn_lite import LiteMaskRCNN
from watchline.models.vgg import VGG16
from watchline.models.yolov2 import YOLOv2

pytestmark = needs_builder

Make = Callable[[Path], onnx.ModelProto]  # into a folder for its files
LABELS = ("cat", "dog", "cow")


def third_party(family: str, form: Callable[..., onnx.ModelProto], *args: object) -> Make:
    return lambda folder: foreign.export(save(form(*args), folder), family, Request("net", LABELS))


def of_darknet(body: str, head: str) -> Make:
    return lambda folder: darknet.export(*nets.write(folder, nets.cfg(body, head)), Request("net", LABELS))


def of_yolov2(folder: Path) -> onnx.ModelProto:
    torch.manual_seed(0)
    model = YOLOv2(torch.tensor([[1.0, 2.0], [4.0, 4.0]]))
    torch.save({"model": model.state_dict(), "priors": model.priors}, folder / "net.pt")
    return yolov2.export(folder / "net.pt", Request("net", size=(96, 96)))


def of_faster_rcnn(trunk: str, side: int) -> Make:
    def make(folder: Path) -> onnx.ModelProto:
        torch.manual_seed(0)
        settings = RegionSettings(scales=tuple(scale * side / SIDE for scale in SCALES))
        model = FasterRCNN(TRUNKS[trunk](hidden=48), len(LABELS), settings)
        torch.save({"model": model.state_dict()}, folder / "net.pt")
        return faster_rcnn.export(folder / "net.pt", Request("net", LABELS))

    return make


def of_mask_rcnn(folder: Path) -> onnx.ModelProto:
    torch.manual_seed(0)
    torch.save({"model": LiteMaskRCNN(len(LABELS)).state_dict()}, folder / "net.pt")
    return mask_rcnn.export(folder / "net.pt", Request("net", LABELS, (96, 64)))


def of_segmenter(build: Callable[[], nn.Module], size: tuple[int, int]) -> Make:
    def make(folder: Path) -> onnx.ModelProto:
        torch.manual_seed(0)
        torch.save({"model": build().state_dict()}, folder / "net.pt")
        return segmenters.export(folder / "net.pt", Request("net", LABELS, size))

    return make


def of_torchvision(arch: str, side: int | None = None) -> Make:
    def make(folder: Path) -> onnx.ModelProto:
        torch.manual_seed(0)
        columns = len(LABELS) + ("fcn" not in arch)
        network = torchvision.models.get_model(arch, weights=None, weights_backbone=None, num_classes=columns)
        torch.save(network.state_dict(), folder / "net.pth")
        return torchvision_nets.export(folder / "net.pth", arch, Request("net", LABELS, (side, side) if side else None))

    return make


PASSTHROUGH = (  # as in YOLOv2
    nets.conv(16)
    + nets.section("maxpool", size=2, stride=2)
    + nets.conv(16)
    + nets.section("maxpool", size=2, stride=2)
    + nets.conv(32)
    + nets.section("route", layers=-3)
    + nets.section("reorg", stride=2)
    + nets.section("route", layers="-1,-3")
    + nets.conv(32)
)
TWO_HEADS = (  # as in YOLOv3
    nets.conv(16)
    + nets.conv(32, stride=2)
    + nets.conv(16, 1)
    + nets.conv(32)
    + nets.section("shortcut", from_=-3, activation="linear")
    + nets.conv(64, stride=2)
    + nets.conv(nets.HEAD_FILTERS, 1, activation="linear", batch_normalize=0)
    + nets.YOLO
    + nets.section("route", layers=-3)
    + nets.conv(16, 1)
    + nets.section("upsample", stride=2)
    + nets.section("route", layers="-1,4")
    + nets.conv(32)
)
FREE: dict[str, Make] = {
    "the shipped one": lambda _: onnx.load(zoo.find(zoo.DEFAULT)),
    "YOLOv2 of Darknet": of_darknet(PASSTHROUGH, nets.REGION),
    "YOLOv3 of Darknet": of_darknet(TWO_HEADS, nets.YOLO),
    "our YOLOv2": of_yolov2,
    "our FCN-Lite": of_segmenter(lambda: FCNLite(3), (96, 64)),
}
THIRD_PARTY: dict[str, Make] = {
    "YOLOX": third_party("yolox", forms.yolox, None, 3),
    "YOLOv8": third_party("ultralytics", forms.columns, None),
    "NanoDet": third_party("nanodet", forms.nanodet, None),
    "PicoDet": third_party("picodet", forms.picodet, None, 3),
    "DETR": third_party("detr", forms.detr, None, 3),
    "SSD": third_party("ssd", forms.ssd_columns, None, 4),
}
KINDS: dict[str, Make] = FREE | {
    "YOLOX": third_party("yolox", forms.yolox, (64, 64), 3),
    "YOLOv8": third_party("ultralytics", forms.columns),
    "YOLOv5": third_party("ultralytics", forms.rows_with_objectness),
    "YOLOv10": third_party("ultralytics", forms.best),
    "NanoDet": third_party("nanodet", forms.nanodet),
    "NanoDet-Plus, joined": third_party("nanodet", forms.nanodet, (96, 64), forms.PLUS, True),
    "PicoDet": third_party("picodet", forms.picodet, (96, 96), 3),
    "DETR with a mask": third_party("detr", forms.detr, (96, 64), 3, True),
    "SSD, columns": third_party("ssd", forms.ssd_columns, (96, 64), 4),
    "SSD of torchvision": third_party("ssd", forms.torchvision_rows),
    "SSD of the model zoo": third_party("ssd", forms.model_zoo_rows, (96, 64)),
    "SSD of TensorFlow": third_party("ssd", forms.tensorflow_rows),
    "our Faster R-CNN, VGG-16": of_faster_rcnn("vgg16", 64),
    "our Faster R-CNN, EfficientNet-Lite0": of_faster_rcnn("efficientnet-lite0", 64),
    "our Mask R-CNN": of_mask_rcnn,
    "our FCN-8s": of_segmenter(lambda: FCN(3, 8, VGG16(hidden=16)), (96, 64)),
    "our DeconvNet": of_segmenter(lambda: DeconvNet(3, width=4, hidden=16, window=2), (96, 64)),
    "fasterrcnn_mobilenet_v3_large_320_fpn": of_torchvision("fasterrcnn_mobilenet_v3_large_320_fpn", 64),
    "fcn_resnet50": of_torchvision("fcn_resnet50", 64),
    "ssd300_vgg16": of_torchvision("ssd300_vgg16"),
    "ssdlite320_mobilenet_v3_large": of_torchvision("ssdlite320_mobilenet_v3_large"),
}
PRECISIONS = ("fp32", "fp16", "int8")
OF_LARGE: dict[str, tuple[str, ...]] = {
    "our Faster R-CNN, VGG-16": ("fp16", "int8"),
    "our Faster R-CNN, EfficientNet-Lite0": ("fp16", "int8"),
    "our Mask R-CNN": ("fp16", "int8"),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("int8",),
    "fcn_resnet50": ("int8",),
    "ssd300_vgg16": ("fp16", "int8"),
}
LARGEST = [
    ("fasterrcnn_resnet50_fpn", 32, "fp32"),
    ("maskrcnn_resnet50_fpn", 32, "fp16"),
    ("fcn_resnet101", 64, "fp16"),
]


@pytest.fixture(scope="module")
def street(bikes: Path) -> NDArray[np.uint8]:
    """A picture (272, 640, 3) BGR for INT8: its ranges are the picture's, and nobody looks at the numbers."""
    return photos(bikes, 640, 272, 1)[0]


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """In FP32."""
    return KINDS[request.param](tmp_path_factory.mktemp("kind"))


def written(model: onnx.ModelProto, precision: str, street: NDArray[np.uint8], folder: Path) -> Path:
    """The file of a model in a precision, which is found in it."""
    match precision:
        case "fp16":
            model = half(model)
            assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
        case "int8":
            picture = cv2.resize(street, input_size(model))
            model = quantise(model, [picture[None]], "tensorrt")
            assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def input_size(model: onnx.ModelProto) -> tuple[int, int]:
    """(width, height)."""
    _, height, width, _ = model.graph.input[0].type.tensor_type.shape.dim
    own = metadata.of(model, "the model").size
    return width.dim_value or own[0], height.dim_value or own[1]


@pytest.mark.parametrize(
    ("model", "precision"),
    [(kind, precision) for kind in KINDS for precision in OF_LARGE.get(kind, PRECISIONS)],
    indirect=["model"],
)
def test_a_plan_is_built(model: onnx.ModelProto, precision: str, street: NDArray[np.uint8], tmp_path: Path) -> None:
    assert accepts(written(model, precision, street, tmp_path))


@pytest.mark.parametrize("make", [*FREE.values(), *THIRD_PARTY.values()], ids=[*FREE, *THIRD_PARTY])
def test_a_plan_of_another_size_is_built(make: Make, tmp_path: Path) -> None:
    onnx.save(make(tmp_path), tmp_path / "net.onnx")
    assert accepts(tmp_path / "net.onnx", size=(608, 352))


@pytest.mark.parametrize(("arch", "side", "precision"), LARGEST)
def test_a_plan_of_the_largest_is_built(
    arch: str, side: int, precision: str, street: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = of_torchvision(arch, side)(tmp_path)
    assert accepts(written(model, precision, street, tmp_path))
