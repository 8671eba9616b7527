"""A trained YOLOv2 as one ONNX file under the contract of engines: uint8 BGR in, boxes and scores out.

The colour order goes into the first convolution, batch normalisation into the convolutions before it, and the decoding
of the grid into the graph; batch, height and width stay symbolic, and an engine fixes the size when it loads.
"""

import copy
import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.models.errors import CheckpointError
from watchline.models.yolov2 import YOLOv2, decode, normalise
from watchline.ops.voc import VOC

OPSET = 17
HALF_FROM = 64  # numbers in a weight from which it is stored as FP16


class _Deployed(nn.Module):
    """The network between uint8 pictures and decoded boxes."""

    def __init__(self, model: YOLOv2) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        _fuse(self.model)
        first = self.model.backbone.stem[0]
        assert isinstance(first, nn.Conv2d), "the stem begins with a convolution"
        first.weight.data = first.weight.data[:, [2, 1, 0]]  # RGB -> BGR

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = normalise(images.permute(0, 3, 1, 2))  # (B, H, W, 3) -> (B, 3, H, W)
        return decode(self.model(x), self.model.priors)


def load_checkpoint(path: Path) -> YOLOv2:
    """The averaged model of a checkpoint that `watchline train yolov2` wrote.

    Raises:
        CheckpointError: missing, or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}: expected checkpoint.pt in the --out folder of a training")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or not {"model", "priors"} <= saved.keys():
        raise CheckpointError(f"{path} is no checkpoint of `watchline train yolov2`: it holds no model and priors")
    model = YOLOv2(saved["priors"])
    model.load_state_dict(saved["model"])
    return model.eval()


def export(model: YOLOv2) -> onnx.ModelProto:
    """The network as ONNX, weights in FP16 with a cast that every runtime folds when it loads.

    Input `images` (batch, height, width, 3) uint8; outputs `boxes` (batch, N, 4), `scores` (batch, N, C) float32.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is deprecated, but the one in its place names the free sides "32*rows", which no
        # runtime can fix by name, and takes twenty times as long.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            _Deployed(model),
            (torch.zeros(1, 416, 416, 3, dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]  # taken when exporting by tracing
            input_names=["images"],
            output_names=["boxes", "scores"],
            dynamic_axes={
                "images": {0: "batch", 1: "height", 2: "width"},
                "boxes": {0: "batch", 1: "candidates"},
                "scores": {0: "batch", 1: "candidates"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    _halve(graph)
    onnx.checker.check_model(graph)
    return graph


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fuse(module: nn.Module) -> None:
    """Batch normalisation folded into the convolution before it, in every Sequential of the tree."""
    for child in module.children():
        _fuse(child)
    if isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            a, b = module[i], module[i + 1]
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(a, b), nn.Identity()


def _halve(model: onnx.ModelProto) -> None:
    """Store float weights as FP16 and cast them back in the graph: half the file, the same FP32 arithmetic."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= HALF_FROM:
            name, values = weight.name, numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def write(checkpoint: Path, file: Path, imgsz: int, figures: dict[str, float]) -> None:
    """Export a checkpoint to an ONNX file with its metadata.

    Args:
        checkpoint: of `watchline train yolov2`.
        file: the ONNX to write; its stem is the model's name.
        imgsz: side of the square input that the model is meant for, a multiple of 32.
        figures: what was measured, by name.
    """
    graph = export(load_checkpoint(checkpoint))
    about = Metadata(
        name=file.stem,
        task="detect",
        labels=tuple(VOC),
        imgsz=imgsz,
        stride=32,
        resize="letterbox",
        checkpoint=sha256(checkpoint),
        figures=figures,
    )
    metadata.write(graph, about)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, file)
