"""A Mask R-CNN that `watchline train mask-rcnn` trained, as one ONNX file under the contract of engines.

All of it is in the graph: proposals, both suppressions and the masks, in plain operations and static shapes. Height and
width are fixed, the batch is free. The colour order goes into the first convolution, batch normalisation into the
convolutions before it; weights are stored in FP16 with a cast that runtimes fold when they load.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import exported, state_dict
from watchline.export.pytorch.smaller import fuse, halve, take_bgr
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.efficientnet_lite import MEAN, SCALE
from watchline.models.errors import CheckpointError
from watchline.models.mask_rcnn_lite import LABELS, MULTIPLE, SIZE, LiteMaskRCNN
from watchline.models.mask_rcnn_scales import SeveralScales, scaled

GREY = round(MEAN)
SCALES = "mask-rcnn.scales"  # a property of the file, for those who export it again


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR and its detections with masks."""

    def __init__(self, model: LiteMaskRCNN, scales: Sequence[float] | None) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.model)
        take_bgr(self.model.pyramid.backbone.stem[0], SCALE)
        self.detect = SeveralScales(self.model, scales).detect if scales else self.model.detect

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.detect(images.permute(0, 3, 1, 2).float() - MEAN)


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train mask-rcnn`, or a model exported from one, as a model of the task `instances`.

    Input `images` (batch, H, W, 3) uint8; outputs `boxes` (batch, D, 4), `scores` (batch, D, C), `masks`
    (batch, D, 28, 28) float32, D the most detections of a picture.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: sizes, scales or labels that do not fit.
    """
    own: tuple[str, ...] | None
    scales = request.scales
    if path.suffix == ".onnx":
        exported_ = metadata.parse(path)
        before = metadata.of(exported_, str(path))
        model, own, usual = load_exported(path, len(before.labels)), before.labels, before.size
        checkpoint = before.checkpoint
        scales = scales or _scales_of(exported_)
    else:
        model, usual, checkpoint = load(path), SIZE, sha256(path)
        own = LABELS if model.classes == len(LABELS) else None
    labels = labels_for(model.classes, request.labels or own, {}, str(path))
    size = request.size_of(path, usual, MULTIPLE)
    for scale in scales or ():
        replace(request, size=scaled(size, scale)).size_of(path, size, MULTIPLE)
    free = {0: "batch"}
    graph = trace(_Deployed(model, scales), size, {"boxes": free, "scores": free, "masks": free}, free=False)
    halve(graph)
    about = Metadata(
        name=request.name,
        task="instances",
        labels=labels,
        imgsz=size,
        stride=MULTIPLE,
        resize="letterbox",
        checkpoint=checkpoint,
        figures={},
        pad=(GREY, GREY, GREY),
    )
    metadata.write(graph, about)
    if scales:
        graph.metadata_props.add(key=SCALES, value=json.dumps(scales))
    return graph


def _scales_of(model: onnx.ModelProto) -> tuple[float, ...] | None:
    """Those that a model was exported with."""
    return next((tuple(json.loads(one.value)) for one in model.metadata_props if one.key == SCALES), None)


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"pyramid.context.0.weight", "rpn.window.weight", "score.weight", "mask.finer.weight"} <= state.keys()


def load(path: Path) -> LiteMaskRCNN:
    """The network of a checkpoint.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state):
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train mask-rcnn`")
    try:
        model = LiteMaskRCNN(len(state["score.weight"]) - 1)
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no Mask R-CNN of `watchline train mask-rcnn`") from error
    return model.float().eval()


def load_exported(path: Path, classes: int) -> LiteMaskRCNN:
    """The network of a model that `watchline export` wrote.

    Raises:
        ExportRefused: it is of another one.
    """
    model = LiteMaskRCNN(classes)
    try:
        exported.load(model, path, SCALE)
    except CheckpointError as error:
        raise ExportRefused(
            f"{path}: its size is settled, as it is not of `watchline train mask-rcnn`: export its checkpoint"
        ) from error
    return model.eval()
