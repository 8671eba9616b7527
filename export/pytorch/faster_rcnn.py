"""A Faster R-CNN that `watchline train faster-rcnn` trained, as one ONNX file under the contract of engines.

All of it is in the graph, proposals and their suppression too, in plain operations and static shapes: no `If`, no loop,
no operator of its own. Height and width are fixed, the batch is free. Each row of the outputs is a region as one class
sees it, so `scores` have one number a row that is not 0.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.fast_rcnn import TRUNKS
from watchline.models.faster_rcnn import SCALES, SIDE, FasterRCNN, RegionSettings

MAX_SCALE = 1e5  # pixels: an anchor larger than any picture
TESTED_BEFORE = 2000  # anchors that go into the suppression of proposals
KEYS = {"vgg16": "trunk.features.0.weight", "efficientnet-lite0": "trunk.coarse.weight"}


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR and its detections."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        rgb = images.float().permute(0, 3, 1, 2)[:, [2, 1, 0]]  # (B, 3, H, W); TensorRT casts uint8 and no more
        boxes, scores = self.model(rgb)
        return boxes, scores


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train faster-rcnn` as a model.

    Input `images` (batch, H, W, 3) uint8, of the size it was trained for unless another is asked for; outputs `boxes`
    (batch, N, 4), `scores` (batch, N, C) float32, N the best 1000 pairs of a region and a class.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    multiple = model.trunk.multiple
    size = request.size_of(path, _own_size(model), multiple)
    free = {0: "batch"}
    graph = trace(_Deployed(model), size, {"boxes": free, "scores": free}, free=False)
    red, green, blue = model.trunk.pad
    about = Metadata(
        name=request.name,
        task="detect",
        labels=labels,
        imgsz=size,
        stride=multiple,
        resize="letterbox",
        checkpoint=sha256(path),
        figures={},
        pad=(blue, green, red),
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"scales", "rpn.window.weight", "score.weight", "box.weight"} <= state.keys()


def load(path: Path) -> FasterRCNN:
    """The network of a checkpoint, with whichever trunk it has.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    trunk = next((name for name, key in KEYS.items() if key in state), None)
    if not is_ours(state) or trunk is None:
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train faster-rcnn`")
    try:
        scales = tuple(state["scales"].tolist())
        outputs, hidden = state["score.weight"].shape
        if outputs < 2 or not scales or not all(0 < scale < MAX_SCALE for scale in scales):
            raise ValueError(f"{outputs - 1} classes, and anchors of {scales} pixels")
        with torch.device("meta"):  # VGG-16 has half a gigabyte of numbers that would be drawn for nothing
            model = FasterRCNN(TRUNKS[trunk](hidden), outputs - 1, RegionSettings(scales=scales, before=TESTED_BEFORE))
        model.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no Faster R-CNN on {trunk}: {state_dict.reason(error)}") from error
    return model.float().eval()  # it may have been saved in FP16


def _own_size(model: FasterRCNN) -> tuple[int, int]:
    """The square that it was trained on, as its anchors tell."""
    side = round(model.settings.scales[0] / SCALES[0] * SIDE / 32) * 32
    return side, side
