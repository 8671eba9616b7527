"""torchvision's detectors and segmenters, from their state dicts to ONNX.

    model = export(Path("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"), "fasterrcnn_resnet50_fpn", Request("frcnn"))

The weights go by their own names into networks of ours that compute the same and whose graphs have no shapes that
depend on what is in the picture. Sides are fixed, since anchors are constants; only the batch is free.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.tasks import TASKS
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.faster_rcnn_fpn import (
    FasterRCNNFPN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
)
from watchline.models.fcn_resnet import FCNResNet
from watchline.models.mask_rcnn import maskrcnn_resnet50_fpn
from watchline.models.ssd import SSD300
from watchline.models.ssdlite import SSDLite
from watchline.ops.coco import COCO, ID_COUNT, IDS
from watchline.ops.voc import VOC

Shapes = Mapping[str, Sequence[int]]
Build = Callable[[int, Shapes, list[int] | None], nn.Module]  # classes, shapes of the weights, classes to report
Colour = tuple[float, float, float]  # RGB in 0..1

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
# Trained when torchvision's frozen normalisation had no epsilon, and run without one there ever since.
WITHOUT_EPSILON = ("258fb6c6", "bf2d0c1e")  # how the sha256 of its own fasterrcnn_ and maskrcnn_resnet50_fpn begin
FROZEN = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn")  # whose fine-tuned weights do not tell either
EPSILON = 1e-5  # of torchvision's normalisation since
RENAMED = (  # names as they were before torchvision 0.13, and since then
    (re.compile(r"(fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
    (re.compile(r"(roi_heads\.mask_head)\.mask_fcn(\d)\.(weight|bias)"), lambda m: f"{m[1]}.{int(m[2]) - 1}.0.{m[3]}"),
)
UNUSED = re.compile(r"aux_classifier\..*|.*\.num_batches_tracked")


@dataclass(frozen=True)
class _Arch:
    """A network that torchvision has by name.

    Attributes:
        build: makes ours.
        counted: a weight with a row for each class; `rows`: how many for each.
        size: side of the input that it was trained for.
        stride: other sides are multiples of it; None if there are none.
        resize: rule of the letterbox.
        mean, std: of its pixels.
        task: of the graph.
        background: whether it is a label.
    """

    build: Build
    counted: str
    size: int
    stride: int | None
    resize: str
    rows: int = 1
    mean: Colour = MEAN
    std: Colour = STD
    task: str = "detect"
    background: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of the graph, by name; the dimensions of all but the first are fixed."""
        return TASKS[self.task].names


_ROI_CLASSES = "roi_heads.box_predictor.cls_score.weight"
_FIRST_READER = "head.classification_head.module_list.0"
_TAIL = "backbone.features.1.0.3.0.weight"  # of SSDlite: 160 channels, or 80 if the tail is reduced


def _fcn(layers: int) -> _Arch:
    return _Arch(
        lambda n, *_: FCNResNet(layers, n), "classifier.4.weight", 520, 8, "stretch", task="segment", background=True
    )


_ARCHS = {
    "fasterrcnn_resnet50_fpn": _Arch(
        lambda n, _, told: fasterrcnn_resnet50_fpn(n, told), _ROI_CLASSES, 800, 32, "letterbox-floor"
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _Arch(
        lambda n, _, told: fasterrcnn_mobilenet_v3_large_320_fpn(n, told), _ROI_CLASSES, 320, 32, "letterbox-floor"
    ),
    "maskrcnn_resnet50_fpn": _Arch(
        lambda n, _, told: maskrcnn_resnet50_fpn(n, told),
        _ROI_CLASSES,
        800,
        32,
        "letterbox-floor",
        task="instances",
    ),
    "fcn_resnet50": _fcn(50),
    "fcn_resnet101": _fcn(101),
    "ssd300_vgg16": _Arch(
        lambda n, _, told: SSD300(n, told),
        f"{_FIRST_READER}.weight",
        300,
        None,
        "stretch",
        rows=4,
        mean=(0.48235, 0.45882, 0.40784),
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
    "ssdlite320_mobilenet_v3_large": _Arch(
        lambda n, shapes, told: SSDLite(n, (*shapes.get(_TAIL, ()), 80)[0] == 80, told),
        f"{_FIRST_READER}.1.weight",
        320,
        None,
        "stretch",
        rows=6,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
}
ARCHS = tuple(_ARCHS)


class _Deployed(nn.Module):
    """A network behind uint8 BGR pictures. Its first convolution takes BGR from here on."""

    mean: Tensor
    std: Tensor
    pad: Tensor

    def __init__(self, network: nn.Module, arch: _Arch) -> None:
        super().__init__()
        self.network = network
        first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
        first.weight.data = first.weight.data.flip(1)  # RGB -> BGR
        for name, colour in (("mean", arch.mean), ("std", arch.std)):
            self.register_buffer(name, torch.tensor(colour[::-1]).view(3, 1, 1) * 255)
        self.register_buffer("pad", torch.tensor(_bgr(arch.mean)).float())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = images.float()  # cast first: NVIDIA's builder can do nothing else with uint8
        x = (pixels.permute(0, 3, 1, 2) - self.mean) / self.std
        if isinstance(self.network, FasterRCNNFPN):
            found: tuple[Tensor, ...] = self.network(x, _extent((pixels - self.pad).abs().amax(3)))
            return found
        out = self.network(x)
        return out if isinstance(out, tuple) else (out.argmax(1).to(torch.uint8),)


def _extent(picture: Tensor) -> Tensor:
    """Width and height (B, 2) of pictures at the top left of (B, H, W), behind which all is 0, the letterbox's padding.

    The graph finds them, so that its input stays one tensor of pixels. Where all is 0, the picture has one pixel.
    """
    sides = []
    for axis in (1, 2):  # over the rows for the width, over the columns for the height
        seen = picture.amax(axis).clamp(max=1)  # (B, W) or (B, H), of whole numbers
        places = torch.arange(1, int(seen.shape[1]) + 1, dtype=torch.float32)
        sides.append((seen * places).amax(1).clamp(min=1))
    return torch.stack(sides, dim=1)


def export(path: Path, arch: str, request: Request) -> onnx.ModelProto:
    """A state dict of torchvision's as a model in FP32 under the contract of engines, metadata inside.

    Outputs of detectors: `boxes` (batch, N, 4), `scores` (batch, N, C). Faster R-CNN corrects a box for each class
    anew, so each row is meant for one class and has scores 0 for the others. Mask R-CNN gives its best 100, already
    suppressed, and `masks` (batch, 100, 28, 28) in 0..1, each stretched over its box. FCN: `classes` (batch, H, W).

    Args:
        path: of the state dict.
        arch: one of ARCHS.
        request: name, labels and size; labels of FCN begin with the background's.

    Raises:
        CheckpointNotFound, CheckpointRefused: no state dict, or of another network.
        ExportRefused: there is no such arch; the size or the labels do not fit; or labels are needed.
    """
    if arch not in _ARCHS:
        raise ExportRefused(f"{path}: there is no network {arch!r}; expected one of {', '.join(ARCHS)}")
    about = _ARCHS[arch]
    size = _size(about, arch, request)
    state = _modern(state_dict.load(path))
    classes = _fitting(state, arch, path)
    labels, told = _labels(path, about, classes, request.labels)
    checkpoint = sha256(path)
    network = about.build(classes, _shapes(state), told)
    epsilon = request.epsilon if request.epsilon is not None else _epsilon(checkpoint)
    network = _loaded(network, state, epsilon)
    model = trace(_Deployed(network, about), size, {name: {0: "batch"} for name in about.outputs}, free=False)
    description = Metadata(
        name=request.name,
        task=about.task,
        labels=labels,
        imgsz=size,
        stride=about.stride or about.size,
        resize=about.resize,
        checkpoint=checkpoint,
        figures={},
        pad=_bgr(about.mean),
    )
    metadata.write(model, description)
    if epsilon is None and arch in FROZEN:
        model.doc_string = (
            f"taken for {arch} with an epsilon of {EPSILON:g} in its frozen normalisation; --epsilon 0 if it was "
            "fine-tuned from torchvision's weights for COCO, whose training had none"
        )
    return model


def _epsilon(checkpoint: str) -> float | None:
    """Of the normalisation, for torchvision's own files by their sha256; None for each layer's own."""
    return 0.0 if checkpoint.startswith(WITHOUT_EPSILON) else None


def _loaded(network: nn.Module, state: Mapping[str, Tensor], epsilon: float | None) -> nn.Module:
    """The network with these weights, which were found to fit. Args: epsilon, of normalisations; None for their own."""
    network.load_state_dict(state, strict=False)  # nothing is missing but counters
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and epsilon is not None:
            module.eps = epsilon
    return network


def _bgr(rgb: Colour) -> tuple[int, int, int]:
    """The pixel that is nearest to a colour."""
    red, green, blue = (round(255 * share) for share in rgb)
    return blue, green, red


def recognise(path: Path) -> str | None:
    """Which of ARCHS a state dict is of; None if of none.

    Raises:
        CheckpointNotFound, CheckpointRefused: no state dict at all.
    """
    state = _modern(state_dict.load(path))
    return next((arch for arch in ARCHS if not _differences(state, arch)), None)


def _modern(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that count, by the names that torchvision has for them today."""
    modern = {}
    for name, weight in state.items():
        for old, new in RENAMED:
            name = old.sub(new, name) if old.fullmatch(name.removeprefix("backbone.")) else name
        if not UNUSED.fullmatch(name):
            modern[name] = weight
    return modern


def _shapes(state: Mapping[str, Tensor]) -> dict[str, Sequence[int]]:
    return {name: tuple(weight.shape) for name, weight in state.items()}


def _classes(shapes: Shapes, about: _Arch) -> int:
    """How many classes, the background included; 2 where the weight that tells is missing."""
    rows = (*shapes.get(about.counted, ()), 2 * about.rows)[0]
    return max(rows // about.rows, 2)


def _differences(state: Mapping[str, Tensor], arch: str) -> list[str]:
    """What is missing, of another shape, or too much, in words."""
    about, got = _ARCHS[arch], _shapes(state)
    with torch.device("meta"):
        network = about.build(_classes(got, about), got, None)
    wanted = {name: tuple(w.shape) for name, w in network.state_dict().items() if not UNUSED.fullmatch(name)}
    missing = [f"{name} is missing" for name in wanted if name not in got]
    unknown = [f"{name} is unknown" for name in got if name not in wanted]
    shapes = [
        f"{name} is {tuple(got[name])} and should be {shape}"
        for name, shape in wanted.items()
        if name in got and got[name] != shape
    ]
    return missing + shapes + unknown


def _fitting(state: Mapping[str, Tensor], arch: str, path: Path) -> int:
    """How many classes the weights are for. Raises CheckpointRefused: they are not of this network."""
    if differences := _differences(state, arch):
        other = next((name for name in ARCHS if name != arch and not _differences(state, name)), None)
        todo = f"it is {other}: name that" if other else f"expected a state dict of one of {', '.join(ARCHS)}"
        raise CheckpointRefused(
            f"{path}: it is no {arch}: {differences[0]} and {len(differences) - 1} more differences; {todo}"
        )
    return _classes(_shapes(state), _ARCHS[arch])


def _size(about: _Arch, arch: str, request: Request) -> tuple[int, int]:
    """(width, height) of the input. Raises ExportRefused: the network cannot have it."""
    own = (about.size, about.size)
    if about.stride is not None:
        return request.size_of(arch, own, about.stride)
    if request.size is None or request.size == own:
        return own
    width, height = request.size
    raise ExportRefused(f"{arch}: asked for {width} x {height}; it is made for {about.size} x {about.size} only")


def _labels(
    path: Path, about: _Arch, classes: int, asked: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[int] | None]:
    """Names of the classes, and the columns that they stand for (None: all but the background).

    Raises:
        ExportRefused: there are names for another number of classes, or none for so many.
    """
    columns = classes if about.background else classes - 1
    if not about.background and classes == ID_COUNT and (asked is None or len(asked) == len(COCO)):
        return asked or tuple(COCO), IDS
    if asked is None and classes == len(VOC) + 1:
        return ("background", *VOC) if about.background else tuple(VOC), None
    return labels_for(columns, asked, {}, str(path)), None
