"""A network that `watchline train vqa` trained, as one ONNX file under the contract of engines.

Backbone and question are one graph; the loop over the words is unrolled, as long as the longest question. Height and
width are fixed, the batch is free. Normalisation and colour order go into the convolutions, and weights are stored in
FP16 with a cast that runtimes fold when they load.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.tasks import LONGEST_QUESTION
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.deployed import OfMaps
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.vqa import SIDE, VQA

STRIDE = 32


class Deployed(OfMaps):
    """The network between uint8 pictures (B, H, W, 3) BGR with a question (B, T) each, and the answers' scores."""

    model: VQA

    def forward(self, images: Tensor, question: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.maps(images)
        logits, looked = self.model(maps, question.long())
        return logits.softmax(1), looked.unflatten(2, (int(maps.shape[2]), int(maps.shape[3])))


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train vqa` as a model of the task `answer`.

    Inputs `images` (batch, H, W, 3) uint8 and `question` (batch, 32) int32; outputs `scores` (batch, A) float32 and
    `attention` (batch, 32, H / 32, W / 32) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(len(model.answers), request.labels or model.answers, {}, str(path))
    size = request.size_of(path, (SIDE, SIDE), STRIDE)
    free = {0: "batch"}
    question = torch.zeros(1, LONGEST_QUESTION, dtype=torch.int32)
    graph = trace(Deployed(model), size, {"scores": free, "attention": free}, free=False, others={"question": question})
    halve(graph)
    about = Metadata(
        name=request.name,
        task="answer",
        labels=labels,
        imgsz=size,
        stride=STRIDE,
        resize="stretch",
        checkpoint=sha256(path),
        figures={},
        words=model.words,
    )
    metadata.write(graph, about)
    return graph


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of a network that answers questions."""
    return "answer_letters" in state


def load(path: Path) -> VQA:
    """The network of a checkpoint.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    if is_ours(state) and "places.weight" not in state:
        raise CheckpointRefused(f"{path}: it is blind, to be compared with: expected one that looks at photos")
    try:
        return VQA.of(state).float()
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train vqa`") from error
