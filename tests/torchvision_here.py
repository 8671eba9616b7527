"""torchvision's networks as the reference, even if its compiled operators do not load with the installed torch.

    import torchvision_here  # before anything of torchvision

Its wheel is built for one release of torch. With another one, `import torchvision` fails because operators are not
declared. Then this module declares them, and implements the two that detectors use in slow, plain code. If the
operators load, it does nothing.
"""

import importlib
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BOXES = "Tensor dets, Tensor scores, float iou_threshold"
NMS = f"nms({BOXES}) -> Tensor"
NMS_OF_INTEGERS = f"qnms({BOXES}) -> Tensor"  # needed only for the import
ROI_ALIGN = (
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor"
)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The kept rows of boxes (N, 4) xyxy, best score first; one box after another, as in torchvision's C++."""
    order = scores.sort(stable=True, descending=True).indices
    x1, y1, x2, y2 = boxes[order].T.unsqueeze(2)  # (N, 1) each
    width = (torch.minimum(x2, x2.T) - torch.maximum(x1, x1.T)).clamp(min=0)
    height = (torch.minimum(y2, y2.T) - torch.maximum(y1, y1.T)).clamp(min=0)
    area, shared = (x2 - x1) * (y2 - y1), width * height
    close = (shared / (area + area.T - shared) > threshold).numpy()
    gone = np.zeros(len(order), bool)
    kept = []
    for i, overlaps in enumerate(close):
        if not gone[i]:
            kept.append(i)
            gone |= overlaps
    return order[kept]


def roi_align(
    maps: Tensor, rois: Tensor, scale: float, height: int, width: int, sampling: int, aligned: bool
) -> Tensor:
    """Args: maps (B, C, h, w); rois (K, 5): picture, xyxy. Returns: (K, C, height, width). A fixed sampling only."""
    assert sampling > 0
    out = []
    for roi in rois:
        picture = maps[int(roi[0])]  # (C, h, w)
        x1, y1, x2, y2 = (roi[1:] * scale - (0.5 if aligned else 0.0)).tolist()
        w, h = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        rows = _taps(y1, h, height * sampling, picture.shape[1])
        columns = _taps(x1, w, width * sampling, picture.shape[2])
        samples = rows @ picture @ columns.T  # (C, height * sampling, width * sampling)
        out.append(samples.unflatten(2, (width, -1)).mean(-1).unflatten(1, (height, -1)).mean(-2))
    return torch.stack(out) if out else maps.new_zeros(0, maps.shape[1], height, width)


def _taps(start: float, length: float, points: int, cells: int) -> Tensor:
    """Weights (points, cells) of bilinear interpolation along one axis; up to a cell outside counts as the edge."""
    at = start + (np.arange(points) + 0.5) * length / points
    distance = np.abs(np.clip(at, 0, cells - 1)[:, None] - np.arange(cells))
    taps = np.maximum(1 - distance, 0) * ((at >= -1) & (at <= cells))[:, None]
    return torch.from_numpy(taps.astype(np.float32))


def _loads() -> bool:
    try:
        from torchvision import extension
    except RuntimeError:  # an operator is not declared
        return False
    return extension._has_ops()


if not _loads():
    _library = torch.library.Library("torchvision", "FRAGMENT")  # declared for as long as this lives
    for _schema in (NMS, NMS_OF_INTEGERS, ROI_ALIGN):
        _library.define(_schema)
    _library.impl("nms", nms, "CPU")
    _library.impl("roi_align", roi_align, "CPU")
    importlib.import_module("torchvision")
    for _name in ("torchvision.extension", "torchvision.ops.roi_align"):
        sys.modules[_name]._has_ops = lambda: True

import torchvision  # noqa: E402
import torchvision.ops  # noqa: E402


def photos(clip: Path, width: int, height: int, count: int = 2) -> NDArray[np.uint8]:
    """Pictures of a clip, a second apart: (count, height, width, 3) BGR."""
    with av.open(str(clip)) as container:
        pictures = [f.to_ndarray(format="bgr24") for f in itertools.islice(container.decode(video=0), 25 * count)]
    return np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures[::25]])


def tensor_of(bgr: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 BGR -> (B, 3, H, W) RGB in 0..1, torchvision's input."""
    return torch.from_numpy(bgr[..., ::-1].copy()).permute(0, 3, 1, 2) / 255


RESIDUAL = 0.2  # factor of a residual branch


def lived_in(network: nn.Module, pictures: Tensor, spread: Mapping[str, float]) -> nn.Module:
    """A network with random weights that behaves like a trained one, in eval mode.

    Batch normalisation gets the statistics of the pictures, so activations neither explode nor vanish. Residual
    branches get a small factor, because random ones amplify every rounding error. Then the layers in `spread` are
    scaled to that standard deviation of their outputs, because random layers give nearly equal outputs, and rounding
    would decide their order.

    Args:
        network: as torchvision builds it.
        pictures: (B, 3, H, W), the network's input.
        spread: the last layers, e.g. {"rpn.head.cls_logits": 2.0}.
    """
    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum, module.training = 1.0, True
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            nn.init.constant_(module.bn3.weight, RESIDUAL)
        elif isinstance(module, torchvision.models.mobilenetv3.InvertedResidual) and module.use_res_connect:
            nn.init.constant_(module.block[-1][1].weight, RESIDUAL)
    hooks = [network.get_submodule(name).register_forward_hook(_scaled(std)) for name, std in spread.items()]
    with torch.no_grad():
        network(list(pictures) if hasattr(network, "transform") else pictures)
    for hook in hooks:
        hook.remove()
    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm2d):  # in a map of one cell, a channel may not vary at all
            module.running_var.clamp_(min=float(module.running_var.mean()) / 10)
    return network


def _scaled(std: float) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
    """A hook that scales its layer's weights once, at the first use."""
    done = []

    def scale(layer: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
        if done:
            return None
        factor = std / out.std()
        done.append(factor)
        layer.weight *= factor
        layer.bias *= factor
        return out * factor

    return scale


_READERS = {
    f"head.{kind}_head.module_list.{i}": std
    for kind, std in (("classification", 3.0), ("regression", 1.0))
    for i in range(6)
}
_TWO_STAGES = {
    "rpn.head.cls_logits": 2.0,
    "rpn.head.bbox_pred": 0.3,
    "roi_heads.box_predictor.cls_score": 3.0,
    "roi_heads.box_predictor.bbox_pred": 1.0,
}
SPREAD = {
    "fasterrcnn_resnet50_fpn": _TWO_STAGES,
    "fasterrcnn_mobilenet_v3_large_320_fpn": _TWO_STAGES,
    "maskrcnn_resnet50_fpn": _TWO_STAGES | {"roi_heads.mask_predictor.mask_fcn_logits": 2.0},
    "fcn_resnet50": {"classifier.4": 2.0},
    "fcn_resnet101": {"classifier.4": 2.0},
    "ssd300_vgg16": _READERS,
    "ssdlite320_mobilenet_v3_large": {f"{name}.1": std for name, std in _READERS.items()},
}
"""The layers that `seeded` scales, and the standard deviations of their outputs."""


def seeded(arch: str, bgr: NDArray[np.uint8], **settings: Any) -> nn.Module:
    """torchvision's network of this name, with random weights adapted to these pictures (B, H, W, 3).

    Its detectors neither resize nor pad pictures of this size.
    """
    torch.manual_seed(0)
    height, width = bgr.shape[1:3]
    if "rcnn" in arch:
        settings |= {"min_size": min(height, width), "max_size": max(height, width)}
    network = torchvision.models.get_model(arch, weights=None, weights_backbone=None, **settings)
    return lived_in(network, tensor_of(bgr), SPREAD[arch])


def detections(network: nn.Module, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Filter (N, 4) boxes and their (N, C) scores by the last rules of torchvision's detector.

    Returns: boxes (M, 4), scores and labels (M,), best first; and rows (M,), their indices in the boxes.
    """
    rules = getattr(network, "roi_heads", network)
    rows, labels = (scores > rules.score_thresh).nonzero(as_tuple=True)
    likely = scores[rows, labels]
    keep = torchvision.ops.batched_nms(boxes[rows], likely, labels, rules.nms_thresh)[: rules.detections_per_img]
    return {"boxes": boxes[rows[keep]], "scores": likely[keep], "labels": labels[keep] + 1, "rows": rows[keep]}
