"""The network that a training starts from: ImageNet's backbone, a checkpoint's network, or an exported ONNX.

Classes that the new network has too keep the weights of their scores, by name; others begin anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from watchline.engines import metadata
from watchline.export.pytorch.exported import PREFIX, set_conv, weights_of
from watchline.models.efficientnet_lite import SCALE, EfficientNetLite0, normalise
from watchline.models.errors import CheckpointError
from watchline.models.yolov2 import YOLOv2, like, region_layer
from watchline.ops.coco import RENAMED
from watchline.ops.voc import VOC
from watchline.train import checkpoint
from watchline.train.views import Store, ViewSettings, draw

ONNX = ".onnx"
VIEWS, SIZE = 48, 320  # number and size of the views for the statistics
STEM = "backbone.stem.0.weight"
NAME_ANOTHER = "name another --from"


def network(start: Path | None, priors: Tensor, names: Sequence[str] = VOC) -> YOLOv2:
    """The network to start from. Its priors are replaced by the new ones, without changing its predictions.

    Args:
        start: a checkpoint (.pt) of `watchline.train.slim` or of a training, or an .onnx that was exported from one by
            `watchline export`; None means ImageNet's weights in a complete EfficientNet-Lite0.
        priors: (K, 2) in cells.
        names: of the classes.

    Raises:
        ModelNotFound, ModelRefused: `start` is not a model of Watchline.
        CheckpointError: it is missing, not such a network, or has another number of priors.
    """
    if start is None:
        return YOLOv2(priors, len(names), EfficientNetLite0.pretrained())
    model = read(start) if start.suffix == ONNX else _of_checkpoint(start)
    if len(model.priors) != len(priors):
        raise CheckpointError(f"{start} has {len(model.priors)} priors; expected {len(priors)}: {NAME_ANOTHER}")
    replace_classes(model, sources(start, names))
    if model.region.bias is not None:
        bias = model.region.bias.data.view(len(priors), -1)
        bias[:, 2:4] += (model.priors / priors).log()
    model.priors.copy_(priors)
    return model


def sources(start: Path | None, names: Sequence[str]) -> list[int | None]:
    """For each new class, the class of the network in `start` whose scores it takes over; None if it begins anew.

    A class takes over that of its name, else that of its name in VOC (an airplane is VOC's aeroplane).

    Raises:
        ModelNotFound, ModelRefused, CheckpointError: `start` is not a network.
    """
    if start is None:
        return [None] * len(names)
    if start.suffix == ONNX:
        old = list(metadata.of(metadata.parse(start), str(start)).labels)
    else:
        old = _names_of_checkpoint(start)
    return [next((old.index(n) for n in (name, RENAMED.get(name)) if n in old), None) for name in names]


def _names_of_checkpoint(file: Path) -> list[str]:
    """Its class names; VOC's if it has none, as there were only those."""
    try:
        names = json.loads(_checkpoint(file).get("names", "null"))
    except (TypeError, ValueError):
        names = None
    return [str(name) for name in names] if isinstance(names, list) else list(VOC)


@torch.no_grad()
def replace_classes(model: YOLOv2, kept: Sequence[int | None]) -> None:
    """Give the network new classes: of each, the old class that it continues. Boxes and objectness stay as they are."""
    if list(kept) == list(range(model.classes)):
        return
    old, count = model.region, len(model.priors)
    assert old.bias is not None, "a region has one"
    weight = old.weight.view(count, 5 + model.classes, -1)  # (K, 5 + C, hidden)
    bias = old.bias.view(count, -1)
    fresh = region_layer(old.in_channels, count, len(kept)).to(old.weight.device)
    assert fresh.bias is not None, "a region has one"
    new_weight, new_bias = fresh.weight.view(count, 5 + len(kept), -1), fresh.bias.view(count, -1)
    new_weight[:, :5], new_bias[:, :5] = weight[:, :5], bias[:, :5]
    new_bias[:, 5:] = bias[:, 5:].mean(1, keepdim=True)  # of a softmax over old and new classes: no head start
    for number, source in enumerate(kept):
        if source is not None:
            new_weight[:, 5 + number], new_bias[:, 5 + number] = weight[:, 5 + source], bias[:, 5 + source]
    model.region, model.classes = fresh, len(kept)


def _checkpoint(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError(f"no network {file} to start from: expected a .pt of a training, or an exported .onnx")
    return checkpoint.read(file, NAME_ANOTHER)


def _of_checkpoint(file: Path) -> YOLOv2:
    saved = _checkpoint(file)
    try:
        model = like(saved["model"])
        model.load_state_dict(saved["model"])
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} is not a network of `watchline train yolov2`: {NAME_ANOTHER}") from error
    return model


def read(file: Path) -> YOLOv2:
    """Read a network from an ONNX file of `watchline export`. Its batch normalisations only add a bias.

    Raises:
        ModelNotFound, ModelRefused: there is no such file, or it is not a model of Watchline.
        CheckpointError: it is another network, or its weights are not as exported.
    """
    graph = metadata.parse(file).graph
    try:
        weights = weights_of(graph)
        [priors] = [w for w in weights.values() if w.ndim == 5 and w.shape[-1] == 2]
        model = like(weights | {"priors": priors.view(-1, 2)}).eval()
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                set_conv(model, name, weights[f"{name}.weight"], weights[f"{name}.bias"])
        divided = _is_divided(graph)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{file} is not a YOLOv2 of `watchline train yolov2` that was exported in FP32: {NAME_ANOTHER}"
        ) from error
    stem = cast(nn.Conv2d, model.backbone.stem[0])
    stem.weight.data = stem.weight.data[:, [2, 1, 0]] * (1.0 if divided else SCALE)  # BGR -> RGB
    return model


def _is_divided(graph: onnx.GraphProto) -> bool:
    """Whether the graph divides pictures by SCALE before the stem, as `normalise` does; else the weights contain it."""
    [stem] = [node for node in graph.node if PREFIX + STEM in node.input]
    return any(node.op_type == "Div" and stem.input[0] in node.output for node in graph.node)


def views(store: Store) -> Tensor:
    """Normalised views (VIEWS, 3, SIZE, SIZE) for the statistics."""
    images, _ = draw(store, VIEWS, SIZE, ViewSettings(), torch.Generator(store.device).manual_seed(0))
    return normalise(images).contiguous()
