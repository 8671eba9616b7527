"""A localizer that `watchline train localizer` trained, as one ONNX file under the contract of engines.

It guesses one box for each class, and detects the one object of a photo as any detector does.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import onnx
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.smaller import fuse, halve, take_bgr
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.efficientnet_lite import MEAN, SCALE
from watchline.models.localizer import SIDE, Localizer, decode

STRIDE = 32


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR and its guesses."""

    def __init__(self, model: Localizer) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.model)
        take_bgr(self.model.backbone.stem[0], SCALE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.model(images.permute(0, 3, 1, 2).float() - MEAN)
        return decode(logits, boxes, SIDE)


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train localizer` as a model.

    Input `images` (batch, 224, 224, 3) uint8, stretched; outputs `boxes` (batch, C, 4), `scores` (batch, C, C) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: another size, which the fully connected layers do not take, or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    size = (SIDE, SIDE)
    if request.size not in (None, size):
        raise ExportRefused(f"{path}: asked for {request.size}; its fully connected layers take {SIDE} x {SIDE} alone")
    free = {0: "batch"}
    graph = trace(_Deployed(model), size, {"boxes": free, "scores": free}, free=False)
    halve(graph)
    metadata.write(graph, Metadata(request.name, "detect", labels, SIDE, STRIDE, "stretch", sha256(path), figures={}))
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"backbone.stem.0.weight", "heads.classify.2.weight", "heads.locate.5.weight"} <= state.keys()


def load(path: Path) -> Localizer:
    """The network of a checkpoint.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state):
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train localizer`")
    try:
        model = Localizer(len(state["heads.classify.5.weight"]), len(state["heads.locate.5.weight"]) // 4)
        model.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no localizer: {state_dict.reason(error)}") from error
    return model.eval()
