"""A trained YOLO as one ONNX file under the contract of engines: uint8 BGR in, boxes and scores out.

Its fully connected layers fix the size of the input; the batch is free.
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
from watchline.models.yolo import BOXES, GRID, SIZE, YOLO, decode

OUTPUT = "connected.3.bias"


class _Deployed(nn.Module):
    """The network between uint8 pictures and decoded boxes."""

    def __init__(self, model: YOLO) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.model)
        take_bgr(self.model.backbone.stem[0], SCALE)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.permute(0, 3, 1, 2).float() - MEAN  # (B, H, W, 3) -> (B, 3, H, W)
        return decode(self.model(x))


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train yolo` as a model, with its class names. Weights are stored in FP16.

    Input `images` (batch, 448, 448, 3) uint8; outputs `boxes` (batch, 98, 4), `scores` (batch, 98, C) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: another size, or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    if request.size not in (None, (SIZE, SIZE)):
        raise ExportRefused(
            f"{path}: asked for {request.size[0]} x {request.size[1]}; YOLO's fully connected layers take {SIZE} x "
            f"{SIZE} pixels and nothing else"
        )
    free = {0: "batch"}
    graph = trace(_Deployed(model), (SIZE, SIZE), {"boxes": free, "scores": free}, free=False)
    halve(graph)
    about = Metadata(
        name=request.name,
        task="detect",
        labels=labels,
        imgsz=SIZE,
        stride=SIZE,
        resize="letterbox",
        checkpoint=sha256(path),
        figures={},
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"convolutions.0.weight", "connected.0.weight", OUTPUT} <= state.keys()


def classes_of(state: Mapping[str, Tensor]) -> int:
    """The number of classes, from the weights."""
    return len(state[OUTPUT]) // (GRID * GRID) - 5 * BOXES


def load(path: Path) -> YOLO:
    """The averaged network of a checkpoint that `watchline train yolo` wrote.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state) or (classes := classes_of(state)) < 1:
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train yolo`")
    model = YOLO(classes)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointRefused(f"{path}: it is no YOLO of ours: {state_dict.reason(error)}") from error
    return model.eval()
