"""A trained YOLO or SSD as one ONNX file under the contract of engines: uint8 BGR in, boxes and scores out.

YOLO's fully connected layers and SSD's default boxes fix the size of the input; the batch is free.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from torch import Tensor

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.deployed import Deployed
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models import ssd_lite0, yolo
from watchline.models.single_shot import SingleShot

State = Mapping[str, Tensor]
NETWORKS: dict[str, tuple[frozenset[str], Callable[[State], SingleShot]]] = {
    "yolo": (frozenset({"convolutions.0.weight", "connected.0.weight", "connected.3.bias"}), yolo.like),
    "ssd": (frozenset({"extra.0.0.weight", "head.module_list.0.bias"}), ssd_lite0.like),
}
"""By their names in `watchline train`: weights that only they have, and what makes an untrained one like others."""


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train yolo` or `ssd` as a model, with its class names. Weights are stored in FP16.

    Input `images` (batch, size, size, 3) uint8; outputs `boxes` (batch, N, 4), `scores` (batch, N, C) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: another size, or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    side = model.size
    if request.size and request.size != (side, side):
        width, height = request.size
        raise ExportRefused(
            f"{path}: asked for {width} x {height}; this network takes {side} x {side} and nothing else"
        )
    free = {0: "batch"}
    graph = trace(Deployed(model), (side, side), {"boxes": free, "scores": free}, free=False)
    halve(graph)
    about = Metadata(
        name=request.name,
        task="detect",
        labels=labels,
        imgsz=side,
        stride=side,
        resize="letterbox",
        checkpoint=sha256(path),
        figures={},
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: State) -> bool:
    """Whether a state dict is of one of these networks."""
    return any(own <= state.keys() for own, _ in NETWORKS.values())


def load(path: Path) -> SingleShot:
    """The averaged network of a checkpoint that `watchline train yolo` or `ssd` wrote.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    found = next(((name, like) for name, (own, like) in NETWORKS.items() if own <= state.keys()), None)
    if found is None:
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train yolo` or `watchline train ssd`")
    name, like = found
    try:
        model = like(state)
        model.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointRefused(
            f"{path}: it is no network of `watchline train {name}`: {state_dict.reason(error)}"
        ) from error
    return model.eval()
