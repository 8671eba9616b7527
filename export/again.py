"""A model of Watchline once more: in another precision, in the format of another runtime, or a Mask R-CNN for another
size or at several scales.
"""

from dataclasses import replace
from pathlib import Path

import onnx

from watchline.engines import metadata
from watchline.export.errors import ExportRefused, without_torch
from watchline.export.onnx_head import read_head
from watchline.export.request import Request


def is_ours(path: Path) -> bool:
    """Whether a file is a model of Watchline, by its beginning."""
    head = read_head(path) if path.is_file() else None
    return head is not None and head.ours


def again(path: Path, called: str, request: Request, arch: str | None, family: str | None) -> onnx.ModelProto:
    """The model as it is, under the name that is asked for.

    Args:
        called: what its user calls it, for errors.

    Raises:
        ModelRefused: it breaks the contract.
        ExportRefused: it is in INT8 already; or something is asked for that is settled in it, or needs torch.
    """
    settled = {
        "--arch": arch,
        "--family": family,
        "--labels": request.labels,
        **({} if _is_mask_rcnn(path) else {"--imgsz": request.size, "--scales": request.scales}),
        "--resize": request.resize,
        "--input": request.input,
        "--epsilon": request.epsilon,
    }
    if asked := next((option for option, value in settled.items() if value is not None), None):
        raise ExportRefused(
            f"{called}: it is a Watchline model, in which {asked} is settled: leave it out, or export its checkpoint"
        )
    model = metadata.parse(path)
    if any("QuantizeLinear" in node.op_type for node in model.graph.node):
        raise ExportRefused(f"{called}: its layers are in INT8 already; name the model in FP32")
    if request.size or request.scales:
        return _reshaped(path, called, request)
    metadata.write(model, replace(metadata.of(model, called), name=request.name))
    return model


def _reshaped(path: Path, called: str, request: Request) -> onnx.ModelProto:
    """Exported anew, from the weights in the file."""
    try:
        from watchline.export.pytorch import mask_rcnn
    except ModuleNotFoundError as error:
        raise without_torch(f"{called}: another size or scale", error) from error
    return mask_rcnn.export(path, request)


def _is_mask_rcnn(path: Path) -> bool:
    """Whether it is one of `watchline train mask-rcnn`, the only network whose size its graph holds."""
    return metadata.of(metadata.parse(path), str(path)).task == "instances"
