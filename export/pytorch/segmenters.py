"""Segmenters as one ONNX file under the contract of engines: uint8 BGR in, the number of a class for each pixel out.

FCN-Lite, which `watchline train segmenter` trains, and the papers' FCN and DeconvNet. The upsampling to the picture and
the choice of the best class are inside the graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.smaller import fuse, halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models import deconvnet, efficientnet_lite, fcn, fcn_lite, vgg
from watchline.models.deconvnet import DeconvNet
from watchline.models.fcn import FCN
from watchline.models.fcn_lite import FCNLite
from watchline.models.vgg import VGG16
from watchline.ops.camvid import CAMVID
from watchline.ops.voc import VOC

State = Mapping[str, Tensor]
Size = tuple[int, int]
KNOWN = {len(CAMVID): CAMVID, len(VOC) + 1: ("background", *VOC)}
IMAGENET = tuple(255 * mean for mean in vgg.MEAN), tuple(255 * std for std in vgg.STD)


@dataclass(frozen=True)
class _Kind:
    """A network that segments.

    Attributes:
        name: for messages.
        key: a parameter that no other network has.
        build: makes it for a state dict, on the meta device.
        size: (width, height) that it is meant for.
        multiple: its sides are multiples of it.
        free: height and width are free in the graph.
        mean, std: RGB in 0..255, of its pixels.
        pad: RGB of the letterbox, as in training.
    """

    name: str
    key: str
    build: Callable[[State], nn.Module]
    size: Size
    multiple: int
    free: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad: tuple[int, int, int]


def _fcn_lite(state: State) -> nn.Module:
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    return FCNLite(len(state["scores.0.weight"]), blocks)


def _fcn(state: State) -> nn.Module:
    skips = sum(name.startswith("skips.") and name.endswith(".weight") for name in state)
    stride = fcn.STRIDES[skips]
    return FCN(len(state["score.weight"]), stride, VGG16(len(state["fc7.weight"])))


def _deconvnet(state: State) -> nn.Module:
    classes, width = state["score.weight"].shape[:2]
    hidden, _, window, _ = state["middle.0.weight"].shape
    return DeconvNet(classes, width, hidden, window)


KINDS = (
    _Kind(
        name="FCN-Lite",
        key="context.gate.0.weight",
        build=_fcn_lite,
        size=(496, 368),  # CamVid's pictures of 480 x 360, a little enlarged and letterboxed
        multiple=fcn_lite.STRIDE,
        free=True,
        mean=(efficientnet_lite.MEAN,) * 3,
        std=(efficientnet_lite.SCALE,) * 3,
        pad=(114, 114, 114),
    ),
    _Kind("FCN", "fc6.weight", _fcn, (512, 512), fcn.MULTIPLE, False, *IMAGENET, VGG16.pad),
    _Kind("DeconvNet", "middle.6.weight", _deconvnet, (224, 224), deconvnet.MULTIPLE, False, *IMAGENET, VGG16.pad),
)


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR and their class maps."""

    mean: Tensor

    def __init__(self, model: nn.Module, kind: _Kind) -> None:
        super().__init__()
        self.model = model
        fuse(self.model)
        first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
        std = torch.tensor(kind.std).view(3, 1, 1)
        first.weight.data = (first.weight.data / std).flip(1)  # RGB -> BGR
        self.register_buffer("mean", torch.tensor(kind.mean[::-1]).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = images.float().permute(0, 3, 1, 2) - self.mean  # cast first: NVIDIA's builder can do nothing else with it
        classes: Tensor = self.model(x).argmax(1).to(torch.uint8)
        return classes


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of a segmenter as a model; weights are stored in FP16 with a cast that runtimes fold.

    Input `images` (batch, H, W, 3) uint8, output `classes` (batch, H, W) uint8.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size or labels that do not fit, or labels are needed.
    """
    model, kind, classes = load(path)
    labels = KNOWN.get(classes) if request.labels is None else None
    labels = labels or labels_for(classes, request.labels, {}, str(path))
    size = request.size_of(path, kind.size, kind.multiple)
    free = {0: "batch"} | ({1: "height", 2: "width"} if kind.free else {})
    graph = trace(_Deployed(model, kind), size, {"classes": free}, free=kind.free)
    halve(graph)
    red, green, blue = kind.pad
    about = Metadata(
        name=request.name,
        task="segment",
        labels=labels,
        imgsz=size,
        stride=kind.multiple,
        resize="letterbox-center",
        checkpoint=sha256(path),
        figures={},
        pad=(blue, green, red),
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: State) -> bool:
    """Whether a state dict is of one of these networks."""
    return any(kind.key in state for kind in KINDS)


def load(path: Path) -> tuple[nn.Module, _Kind, int]:
    """The network of a checkpoint, its kind, and the number of its classes.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    kind = next((kind for kind in KINDS if kind.key in state), None)
    if kind is None:
        raise CheckpointRefused(f"{path}: it is no segmenter; expected {', '.join(kind.name for kind in KINDS)}")
    try:
        with torch.device("meta"):  # VGG-16 has half a gigabyte of numbers that would be drawn for nothing
            model = kind.build(state)
        model.load_state_dict(state, assign=True)
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no {kind.name}: {state_dict.reason(error)}") from error
    classes: Any = getattr(model, "classes", None) or model.get_submodule("score").out_channels
    return model.float().eval(), kind, int(classes)  # it may have been saved in FP16
