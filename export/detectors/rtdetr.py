"""RT-DETR (Zhao et al., 2023) and those built like it, D-FINE and DEIM: a set of boxes, each class with a sigmoid.

| outputs | from | boxes |
| --- | --- | --- |
| labels (B, N), boxes (B, N, 4), scores (B, N); an input `orig_target_sizes` | the authors | xyxy in pixels |
| logits (B, N, C), boxes (B, N, 4) | optimum | centre and size in 0..1 |
| (B, N, 4 + C), all in 0..1 | Ultralytics | centre and size in 0..1 |

Pixels are RGB in 0..1, the picture is stretched.
"""

import numpy as np

from watchline.export.detectors import detr, sigmoid_detr, signs
from watchline.export.detectors.family import Build, Family, FamilyOutputs, always, corners, one_hot
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation

ROWS = ("labels", "boxes", "scores")
LAYERS = ("enc_score_head", "decoder_input_proj", "lqe_layers", "pre_bbox_head", "denoising_class_embed")


def _rows(network: ThirdPartyNetwork) -> bool:
    return "orig_target_sizes" in network.companions and set(ROWS) <= network.tried.keys()


def _joined(network: ThirdPartyNetwork) -> bool:
    match list(network.tried.values()):
        case [out]:
            return out.ndim == 3 and out.shape[2] > 4 and out.shape[1] > out.shape[2] and in_unit(out)
    return False


def fits(network: ThirdPartyNetwork) -> bool:
    """One of the three forms."""
    return _rows(network) or _joined(network) or sigmoid_detr.fits(network)


def tells(network: ThirdPartyNetwork) -> bool:
    """All but optimum's form; there, the names of layers, or logits that are for a sigmoid and one class alone."""
    if not sigmoid_detr.fits(network):
        return True
    return signs.says(network, *LAYERS) and not signs.for_softmax(detr.logits_of(network))


def decode(build: Build) -> FamilyOutputs:
    """By the form of the outputs."""
    network = build.network
    if _rows(network):
        outputs = dict(zip(network.tried, build.run(), strict=True))
        labels, rows = build.names(), (0, -1, 1)
        classes = outputs["labels"].cast(np.float32).reshape(*rows)
        scores = one_hot(outputs["scores"].reshape(*rows), classes, np.arange(len(labels)))
        return FamilyOutputs(outputs["boxes"], scores, labels)
    if not _joined(network):
        return sigmoid_detr.decode(build)
    (out,) = build.run()
    boxes = corners(build.graph, out[..., :2], out[..., 2:4]) * build.sides()
    return FamilyOutputs(boxes, out[..., 4:], build.labels(network.shapes[0][2] - 4))


FAMILY = Family(
    "logits (B, N, C), each for a sigmoid, and boxes (B, N, 4) in 0..1; or both in one, in 0..1; "
    "or labels, boxes and scores by these names, with the input `orig_target_sizes`",
    fits,
    tells,
    always(Preparation("stretch")),
    decode,
)
