"""A trained YOLOv2 as one ONNX file under the contract of engines: uint8 BGR in, boxes and scores out.

The colour order goes into the first convolution, batch normalisation into the convolutions before it, and the decoding
of the grid into the graph; batch, height and width stay symbolic, and an engine fixes the size when it loads.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
from torch import Tensor

from watchline.engines import metadata
from watchline.engines.contract import MAX_SIDE
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.deployed import Deployed
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.yolov2 import YOLOv2, like

IMGSZ = 416  # pixels, what the shipped models are meant for, and checkpoints that do not say
STRIDE = 32


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train yolov2` as a model, with its class names and for its own size.

    Weights are stored in FP16 with a cast that runtimes fold when they load.
    Input `images` (batch, height, width, 3) uint8; outputs `boxes` (batch, N, 4), `scores` (batch, N, C) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size that is not square or cannot be, or labels that do not fit.
    """
    model, words = load(path), state_dict.read(path).words
    labels = labels_for(model.classes, request.labels, words, str(path))
    own = words.get("imgsz", "")
    size = request.size or (int(own) if own.isdecimal() and len(own) < 6 else IMGSZ,) * 2
    if size[0] != size[1]:
        raise ExportRefused(
            f"{path}: asked for {size[0]} x {size[1]}; name one side, other shapes are chosen at run time"
        )
    if size[0] % STRIDE or not 0 < size[0] <= MAX_SIDE:
        raise ExportRefused(f"{path}: asked for {size[0]}; expected a multiple of {STRIDE} up to {MAX_SIDE} pixels")
    free = {0: "batch", 1: "candidates"}
    graph = trace(Deployed(model), (IMGSZ, IMGSZ), {"boxes": free, "scores": free}, free=True)
    halve(graph)
    metadata.write(
        graph, Metadata(request.name, "detect", labels, size[0], STRIDE, "letterbox", sha256(path), figures={})
    )
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of this network."""
    return {"priors", "region.weight", "region.bias"} <= state.keys()


def load(path: Path) -> YOLOv2:
    """The averaged network of a checkpoint that `watchline train yolov2` wrote.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state):
        raise CheckpointRefused(
            f"{path}: it is no checkpoint of `watchline train yolov2`, which has priors and a region"
        )
    priors = state["priors"]
    classes = state["region.bias"].numel() // max(1, priors.numel() // 2) - 5
    if priors.shape[1:] != (2,) or not len(priors) or classes < 1:
        raise CheckpointRefused(f"{path}: its priors {tuple(priors.shape)} and its region do not go together")
    try:
        model = like(state)
        model.load_state_dict(state)
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: its backbone is not the one of `watchline train yolov2`") from error
    return model.eval()
