"""A captioner that `watchline train captioner` trained, as one ONNX file under the contract of engines.

All of it is one graph: backbone, and beam search with its loop unrolled, each step with the same weights. There is no
`Loop`, so every runtime takes it; what it costs does not depend on how long a caption is. Height and width are fixed,
the batch is free. The colour order goes into the first convolution, batch normalisation into the convolutions before
it; weights are stored in FP16 with a cast that runtimes fold when they load.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
from torch import Tensor

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import state_dict
from watchline.export.pytorch.deployed import OfMaps
from watchline.export.pytorch.smaller import halve
from watchline.export.pytorch.trace import trace
from watchline.export.request import Request
from watchline.models.beam import BEAM, POWER, STEPS, beam_search
from watchline.models.captioner import Captioner
from watchline.models.captioners import system_of

SIDE = 224  # pixels: what it was trained with
STRIDE = 32


class Deployed(OfMaps):
    """The network between uint8 pictures (B, H, W, 3) BGR and its captions."""

    model: Captioner

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.maps(images)
        words, scores, looked = beam_search(self.model, maps, BEAM, STEPS, POWER)
        if looked is None:
            return words, scores
        return words, scores, looked.reshape(-1, STEPS, int(maps.shape[2]), int(maps.shape[3]))


def export(path: Path, request: Request) -> onnx.ModelProto:
    """A checkpoint of `watchline train captioner` as a model of the task `caption`.

    Input `images` (batch, H, W, 3) uint8; outputs `words` (batch, 3, 20) int32, `scores` (batch, 3) float32, and, of a
    system that looks, `attention` (batch, 20, H / 32, W / 32) float32.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, or of another network.
        ExportRefused: a size or labels that do not fit.
    """
    model = load(path)
    labels = labels_for(model.words, request.labels or model.vocabulary, {}, str(path))
    size = request.size_of(path, (SIDE, SIDE), STRIDE)
    free = {0: "batch"}
    outputs = {"words": free, "scores": free, **({"attention": free} if model.looks else {})}
    graph = trace(Deployed(model), size, outputs, free=False)
    halve(graph)
    places = size[1] // STRIDE, size[0] // STRIDE
    _tell_shapes(graph, {"words": (BEAM, STEPS), "scores": (BEAM,), "attention": (STEPS, *places)})
    about = Metadata(
        name=request.name,
        task="caption",
        labels=labels,
        imgsz=size,
        stride=STRIDE,
        resize="stretch",
        checkpoint=sha256(path),
        figures={},
    )
    metadata.write(graph, about)
    return graph


def _tell_shapes(graph: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Write into the file what the exporter did not infer: the sizes of the outputs' axes after the batch."""
    for output in graph.graph.output:
        for axis, size in zip(output.type.tensor_type.shape.dim[1:], shapes[output.name], strict=True):
            axis.dim_value = size


def is_ours(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of a captioner."""
    return system_of(state) is not None


def load(path: Path) -> Captioner:
    """The network of a checkpoint, of whichever system.

    Raises:
        CheckpointNotFound, CheckpointRefused: missing, broken, or of another network.
    """
    state = state_dict.load(path)
    system = system_of(state)
    if system is None:
        raise CheckpointRefused(f"{path}: it is no checkpoint of `watchline train captioner`")
    try:
        return system.of(state).float()
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointRefused(f"{path}: it is no {system.__name__} of `watchline train captioner`") from error
