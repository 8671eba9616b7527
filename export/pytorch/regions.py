"""R-CNN and Fast R-CNN as `watchline train` leaves them, as one ONNX file under the contract of engines.

The graph takes the proposals beside the pictures: the pipeline searches them (the task "regions").
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.tasks import PROPOSALS as INPUT
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.fast_rcnn import PROPOSALS, FastRCNN
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.rcnn import RCNN

State = Mapping[str, Tensor]
Network = RCNN | FastRCNN
IMGSZ, STRIDE = 320, 32  # pixels of the side of the input that both learn from
MAKE: dict[str, tuple[frozenset[str], Callable[[State], Network]]] = {
    "rcnn": (frozenset({"svm.weight", "box.weight", "backbone.stem.0.weight"}), lambda s: RCNN(len(s["svm.weight"]))),
    "fast-rcnn": (
        frozenset({"score.weight", "box.weight", "trunk.coarse.weight"}),
        lambda s: FastRCNN(LiteTrunk(s["score.weight"].shape[1]), len(s["score.weight"]) - 1),
    ),
}
"""By their names in `watchline train`: weights that they have, and what makes an untrained one like others."""


class _Deployed(nn.Module):
    """The network between uint8 pictures (B, H, W, 3) BGR with proposals and its detections."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.model(images.float().permute(0, 3, 1, 2)[:, [2, 1, 0]], proposals)
        return boxes, scores


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train rcnn` or `fast-rcnn` as a model. Weights are stored in FP16.

    Inputs `images` (batch, H, W, 3) uint8 and `proposals` (batch, K, 4) float32; outputs `boxes` (batch, N, 4),
    `scores` (batch, N, C) float32, N the best 1000 pairs of a region and a class.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.classes, request.labels, state_dict.read(path).words, str(path))
    size = request.size_of(path, (IMGSZ, IMGSZ), STRIDE)
    free = {0: "batch"}
    others = {INPUT.name: torch.zeros(1, PROPOSALS, 4)}
    graph = trace(_Deployed(model), size, {"boxes": free, "scores": free}, free=False, others=others)
    halve(graph)
    about = Metadata(
        name=request.name,
        task="regions",
        labels=labels,
        imgsz=size,
        stride=STRIDE,
        resize="letterbox",
        checkpoint=sha256(path),
        figures={},
        pad=LiteTrunk.pad,
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: State) -> bool:
    """Whether a state dict is of one of these networks; Faster R-CNN has the weights of Fast R-CNN, and more."""
    return "rpn.window.weight" not in state and any(own <= state.keys() for own, _ in MAKE.values())


def load(path: Path) -> Network:
    """The network of a checkpoint.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if not is_ours(state):
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train rcnn` or `watchline train fast-rcnn`")
    name, make = next((name, make) for name, (own, make) in MAKE.items() if own <= state.keys())
    try:
        with torch.device("meta"):  # it would draw random numbers for nothing
            model = make(state)
        model.load_state_dict(state, assign=True)
    except (RuntimeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointRefused(
            f"{path}: it is no network of `watchline train {name}`: {state_dict.reason(error)}"
        ) from error
    return model.float().eval()
