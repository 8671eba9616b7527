"""DETR's successors whose classes are independent, each with a sigmoid and none for "no object".

| family | from | pixels | told by |
| --- | --- | --- | --- |
| rfdetr | RF-DETR, LW-DETR (Roboflow): `dets`, `labels` | RGB, ImageNet's mean | its names for the outputs |
| deformable-detr | Deformable and Conditional DETR, DINO, by optimum | RGB, ImageNet's mean | its mask of pixels |
| rtdetr | RT-DETR, D-FINE, DEIM: see `rtdetr.py` | RGB in 0..1 | names of its layers |

Outputs are logits (B, N, C) and boxes (B, N, 4): centre and size in 0..1. RF-DETR has a column more than classes, which
is never one. Columns for COCO's numbers 0..90 are those of the eighty with names.
"""

from watchline.export.detectors import detr, signs
from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, always
from watchline.export.detectors.network import ThirdPartyNetwork
from watchline.export.detectors.preparation import Preparation
from watchline.ops.coco import ID_COUNT

IMAGENET = Preparation("stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def fits(network: ThirdPartyNetwork) -> bool:
    """Logits and boxes in 0..1."""
    return detr.places_of(network) is not None


def decode(build: Build) -> FamilyOutputs:
    """A sigmoid for each class."""
    logits, boxes = detr.outputs_of(build)
    return FamilyOutputs(boxes, *detr.named(build, logits.sigmoid(), detr.logits_of(build.network).shape[2]))


def _is_rfdetr(network: ThirdPartyNetwork) -> bool:
    return {"dets", "labels"} <= network.tried.keys()


def _decode_rfdetr(build: Build) -> FamilyOutputs:
    """The same without the last column, unless there are names for it too, or it is COCO's last number."""
    logits, boxes = detr.outputs_of(build)
    columns = detr.logits_of(build.network).shape[2]
    classes = columns if columns in (1, ID_COUNT, len(build.asked or ())) else columns - 1
    return FamilyOutputs(boxes, *detr.named(build, logits.sigmoid()[..., :classes], classes))


RFDETR = Family(
    "boxes (B, N, 4) in 0..1, centre and size, and logits (B, N, C + 1), each for a sigmoid, the last one unused",
    fits,
    _is_rfdetr,
    always(IMAGENET),
    _decode_rfdetr,
)
DEFORMABLE = Family(
    "logits (B, N, C), each for a sigmoid, and boxes (B, N, 4) in 0..1: centre and size",
    fits,
    lambda network: "pixel_mask" in network.companions and signs.for_sigmoid(detr.logits_of(network)),
    always(IMAGENET),
    decode,
)
