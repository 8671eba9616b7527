"""Any ONNX detector of a known family, made to run like ours: pre-processing and decoding go into the graph.

    model = export(Path("yolox_nano.onnx"), "yolox", Request("yolox-nano"))
    onnx.save(model, "yolox-nano.onnx")

What a family's outputs mean is in the file called after it, how a third-party file is opened in `network.py`.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from watchline.engines import metadata
from watchline.engines.checked import first_line
from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelRefused
from watchline.engines.tasks import SLACK
from watchline.export.detectors.families import FAMILIES
from watchline.export.detectors.family import Build, Family
from watchline.export.detectors.network import ThirdPartyNetwork, open_network
from watchline.export.detectors.preparation import Preparation
from watchline.export.detectors.trial import run
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.request import Request
from watchline.export.surgery import Graph

__all__ = ["FAMILIES", "export", "recognise"]


def recognise(path: Path) -> str | None:
    """The family that an ONNX file is of, by the form of its outputs, its names and its metadata; None if of none.

    Raises:
        CheckpointNotFound, CheckpointRefused, ExportRefused: see `open_network`.
        ExportRefused: it may be of several families, which read it in different ways.
    """
    network = open_network(path)
    fitting = [name for name, family in FAMILIES.items() if family.fits(network)]
    found = [name for name in fitting if FAMILIES[name].tells(network)] or fitting
    if len(found) > 1:
        readings = "; ".join(
            f"--family {name} ({_assumed(network, FAMILIES[name].prepare(network))})" for name in found
        )
        raise ExportRefused(
            f"{network.where}: its outputs {_describe(network)} may be read in {len(found)} ways, and the file does "
            f"not tell which is right; name one: {readings}"
        )
    return found[0] if found else None


def _assumed(network: ThirdPartyNetwork, preparation: Preparation) -> str:
    return preparation.text(raw=network.picture.dtype == np.uint8)


def export(path: Path, family: str, request: Request) -> onnx.ModelProto:
    """A third-party detector under the contract of engines, in the precision it has.

    The batch is free if two pictures at once were found to give what each gives alone, else it is the file's own.
    Sides that the file leaves free stay free, unless the request names a size that is no square. What was assumed of
    the pixels is in the model's `doc_string`, in words.

    Args:
        path: of the ONNX.
        family: one of FAMILIES.
        request: labels None means the file's own names, else COCO's or VOC's if there are as many.

    Raises:
        CheckpointNotFound, CheckpointRefused: see `open_network`; or its outputs are not those of the family.
        ExportRefused: there is no such family; or size or labels do not go with the network.
    """
    if family not in FAMILIES:
        raise ExportRefused(f"there is no family {family!r}; expected one of {', '.join(FAMILIES)}")
    rules = FAMILIES[family]
    network = open_network(path, request.size, rules.stride)
    if not rules.fits(network):
        raise CheckpointRefused(
            f"{network.where}: its outputs are {_describe(network)}; --family {family} expects {rules.expects}; "
            f"the families are {', '.join(FAMILIES)}"
        )
    network, stride = _settled(network, rules)
    picture, graph = network.picture, Graph()
    batch = picture.batch or "batch"
    images = graph.input("images", np.uint8, (batch, picture.height or "height", picture.width or "width", 3))
    preparation = _preparation(network, rules, request)
    found = rules.decode(Build(network, graph, images, preparation, request.labels))
    graph.output("boxes", found.boxes, (batch, "candidates", 4))
    graph.output("scores", found.scores, (batch, "candidates", len(found.labels)))
    try:
        model = graph.build()
    except onnx.checker.ValidationError as error:
        raise CheckpointRefused(f"{network.where}: ONNX's checker does not take it: {first_line(error)}") from error
    _prove(model, network, family)
    about = Metadata(
        name=request.name,
        task="detect",
        labels=found.labels,
        imgsz=max(network.size),
        stride=stride,
        resize=preparation.resize,
        checkpoint=network.checkpoint,
        figures={},
        pad=rules.pad,
    )
    try:
        metadata.write(model, about)
    except ModelRefused as error:
        raise ExportRefused(str(error)) from error
    model.doc_string = f"taken for {family}: {_assumed(network, preparation)}; if that is wrong: --family, --input"
    return model


def _preparation(network: ThirdPartyNetwork, rules: Family, request: Request) -> Preparation:
    """The family's, with what the user knows better. Raises ExportRefused: a network of bytes prepares them itself."""
    asked = dict(request.input or {}) | ({"resize": request.resize} if request.resize else {})
    if network.picture.dtype == np.uint8 and (inside := asked.keys() & {"top", "mean", "std"}):
        raise ExportRefused(
            f"{network.where}: its input takes bytes, so range, mean and std are inside it; leave them out of --input "
            f"({', '.join(sorted(inside))})"
        )
    return replace(rules.prepare(network), **asked)


def _settled(network: ThirdPartyNetwork, rules: Family) -> tuple[ThirdPartyNetwork, int]:
    """The network with sides that are fixed or free for good, and the stride for the metadata.

    A model has one number for its size, so sides that differ are fixed.
    """
    width, height = network.size
    free = network.picture.width is None or network.picture.height is None
    if free and width == height:
        return network, rules.stride
    fixed = replace(network, picture=replace(network.picture, width=width, height=height))
    return fixed, math.gcd(rules.stride, width, height)


def _prove(model: onnx.ModelProto, network: ThirdPartyNetwork, family: str) -> None:
    """Run the result on a picture of noise. Raises CheckpointRefused for what no detector of the family gives."""
    width, height = network.size
    noise = np.random.default_rng(2).integers(0, 256, (network.batch, height, width, 3), np.uint8)
    outputs = run(model, {"images": noise}, network.where)
    boxes, scores = outputs["boxes"], outputs["scores"]
    remedy = f"is it a detector of the family {family}, exported as its authors do?"
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise CheckpointRefused(f"{network.where}: boxes or scores of a picture of noise are NaN or infinite; {remedy}")
    low, high = float(scores.min(initial=0)), float(scores.max(initial=0))
    if low < -SLACK or high > 1 + SLACK:
        raise CheckpointRefused(f"{network.where}: its scores lie in {low:.3g}..{high:.3g}; expected 0..1; {remedy}")


def _describe(network: ThirdPartyNetwork) -> str:
    return ", ".join(f"`{name}` {array.shape}" for name, array in network.tried.items())
