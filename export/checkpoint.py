"""From whatever checkpoint there is to ONNX: tells what it is, and has it exported by the file that knows its kind.

model = to_onnx([Path("yolov2.cfg"), Path("yolov2.weights")], Request("yolov2"))
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from watchline.engines import metadata
from watchline.export.darknet import export as darknet
from watchline.export.detectors import export as foreign
from watchline.export.detectors.families import FAMILIES
from watchline.export.errors import CheckpointRefused, ExportRefused, without_torch
from watchline.export.recognise import cfg_and_weights, recognise
from watchline.export.request import Request

SCALES = "--scales is of a Mask R-CNN that `watchline train mask-rcnn` trained"


def to_onnx(
    paths: Sequence[Path], request: Request, arch: str | None = None, family: str | None = None
) -> onnx.ModelProto:
    """A checkpoint as a model in FP32 under the contract of engines, metadata inside.

    Args:
        paths: one file; for Darknet the .cfg and the .weights.
        request: what else is asked for.
        arch: the network of a PyTorch state dict; None if its names tell.
        family: of an ONNX detector; None if its outputs tell.

    Raises:
        CheckpointNotFound, CheckpointRefused: no checkpoint, a broken one, or not of that network.
        ExportRefused: arch, family or what the request asks for do not go with it; or torch is not installed.
    """
    model = _exported(paths, request, arch, family)
    if request.resize:
        metadata.write(model, replace(metadata.of(model, request.name), resize=request.resize))
    return model


def _exported(paths: Sequence[Path], request: Request, arch: str | None, family: str | None) -> onnx.ModelProto:
    kind = recognise(paths)
    if arch and kind != "torch":
        raise ExportRefused(f"{paths[0]}: the network of a PyTorch state dict has a name, {arch!r}; this is {kind}")
    if family and kind != "onnx":
        raise ExportRefused(f"{paths[0]}: an ONNX detector has a family, {family!r}; this is {kind}")
    if request.input and kind != "onnx":
        raise ExportRefused(f"{paths[0]}: --input says how an ONNX detector takes its pictures; this is {kind}")
    if request.epsilon is not None and kind != "torch":
        raise ExportRefused(f"{paths[0]}: --epsilon is of a torchvision network's normalisation; this is {kind}")
    if request.scales and kind != "torch":
        raise ExportRefused(f"{paths[0]}: {SCALES}; this is {kind}")
    match kind:
        case "darknet":
            return darknet.export(*cfg_and_weights(paths), request)
        case "onnx":
            return foreign.export(paths[0], family or _family(paths[0]), request)
        case "torch":
            return _from_torch(paths[0], request, arch)


def _family(path: Path) -> str:
    if family := foreign.recognise(path):
        return family
    raise ExportRefused(
        f"{path}: its outputs are of no family of detectors that is known; expected one of {', '.join(FAMILIES)}, "
        "exported as its authors do (--family NAME says what it should be, and what is wrong then)"
    )


def _from_torch(path: Path, request: Request, arch: str | None) -> onnx.ModelProto:
    try:
        from watchline.export.pytorch import (
            captioner,
            faster_rcnn,
            fixed_size,
            localizer,
            mask_rcnn,
            overfeat,
            regions,
            segmenters,
            state_dict,
            torchvision_nets,
            vqa,
            yolov2,
        )
    except ModuleNotFoundError as error:
        raise without_torch(f"{path}: a PyTorch checkpoint", error) from error
    read = state_dict.read(path)
    state = read.tensors
    state_dict.check_finite(state, path)
    if request.scales and not mask_rcnn.is_ours(state):
        raise ExportRefused(f"{path}: {SCALES}")
    model = None
    if arch is None and yolov2.is_ours(state):
        model = yolov2.export(path, request)
    elif arch is None and fixed_size.is_ours(state):
        model = fixed_size.export(path, request)
    elif arch is None and faster_rcnn.is_ours(state):
        model = faster_rcnn.export(path, request)
    elif arch is None and mask_rcnn.is_ours(state):
        model = mask_rcnn.export(path, request)
    elif arch is None and segmenters.is_ours(state):
        model = segmenters.export(path, request)
    elif arch is None and vqa.is_ours(state):
        model = vqa.export(path, request)
    elif arch is None and captioner.is_ours(state):
        model = captioner.export(path, request)
    elif arch is None and localizer.is_ours(state):
        model = localizer.export(path, request)
    elif arch is None and overfeat.is_ours(state):
        model = overfeat.export(path, request)
    elif arch is None and regions.is_ours(state):
        model = regions.export(path, request)
    elif found := arch or torchvision_nets.recognise(path):
        model = torchvision_nets.export(path, found, request)
    if model is not None:
        model.doc_string = "; ".join(filter(None, (read.chosen, model.doc_string)))
        return model
    raise CheckpointRefused(
        f"{path}: its {len(state)} tensors ({next(iter(state))!r}, …) are of no network that is known; expected "
        f"one that `watchline train` wrote, or one of torchvision's: {', '.join(torchvision_nets.ARCHS)}"
    )
