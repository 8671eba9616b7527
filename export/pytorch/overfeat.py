"""An OverFeat that `watchline train overfeat` trained, as one ONNX file under the contract of engines.

The pyramid of six scales and all windows are in the graph. The greedy merge is not: the metadata ask for it, in place
of suppression.
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
from watchline.export.pytorch.smaller import fuse, halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.overfeat import GREY, OverFeat

IMGSZ = 416  # pixels; its scales are made from it
STRIDE = 32


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, S, S, 3) BGR and its candidates."""

    def __init__(self, model: OverFeat) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        fuse(self.model)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.model(images.float().permute(0, 3, 1, 2)[:, [2, 1, 0]])
        return boxes, scores


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train overfeat` as a model.

    Input `images` (batch, S, S, 3) uint8; outputs `boxes` (batch, N, 4), `scores` (batch, N, C) float32, N windows.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size that is not square or cannot be, or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    size = request.size_of(path, (IMGSZ, IMGSZ), STRIDE)
    if size[0] != size[1]:
        raise ExportRefused(f"{path}: asked for {size[0]} x {size[1]}; expected a square, whose scales are squares")
    free = {0: "batch"}
    graph = trace(_Deployed(model), size, {"boxes": free, "scores": free}, free=False)
    halve(graph)
    about = Metadata(
        name=request.name,
        task="detect",
        labels=labels,
        imgsz=size[0],
        stride=STRIDE,
        resize="letterbox",
        checkpoint=sha256(path),
        figures={},
        pad=(GREY, GREY, GREY),
        candidates="merge",
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"stem.0.weight", "heads.classify.2.weight", "heads.locate.5.weight"} <= state.keys()


def load(path: Path) -> OverFeat:
    """The network of a checkpoint.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state):
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train overfeat`")
    try:
        model = OverFeat(len(state["heads.classify.5.weight"]) - 1)
        model.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no OverFeat: {state_dict.reason(error)}") from error
    return model.eval()
