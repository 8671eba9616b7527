"""DETR (Carion et al., 2020): a set of boxes, each with a class or none.

Outputs are logits (B, N, C + 1), the last column "no object", and boxes (B, N, 4): centre and size in 0..1. Pixels are
RGB with ImageNet's mean and deviation. The official weights number COCO's classes 0..90; the eighty with names stay.
"""

from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, corners
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.ops.coco import ID_COUNT, IDS


def _places(network: ThirdPartyNetwork) -> tuple[int, int] | None:
    """Of logits and boxes among the outputs: scores beyond 0..1 and boxes within, as many rows of each."""
    arrays = list(network.tried.values())
    if len(arrays) < 2 or any(array.ndim != 3 or not array.size for array in arrays[:2]):
        return None  # exports with auxiliary outputs have the two of the last layer first
    named = [i for i, name in enumerate(list(network.tried)[:2]) if "box" in name.lower()]
    boxes = next((i for i in named or (1, 0) if arrays[i].shape[2] == 4 and in_unit(arrays[i])), None)
    if boxes is None or arrays[0].shape[1] != arrays[1].shape[1] or in_unit(arrays[1 - boxes]):
        return None
    return 1 - boxes, boxes


def fits(network: ThirdPartyNetwork) -> bool:
    """Logits and boxes in 0..1."""
    return _places(network) is not None


def decode(build: Build) -> FamilyOutputs:
    """Softmax over the classes and "no object", which goes."""
    places = _places(build.network)
    assert places, "the outputs were found to fit"
    outputs = build.run(rgb=True, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    logits, boxes = (outputs[place] for place in places)
    classes = build.network.shapes[places[0]][2] - 1
    scores = logits.softmax()[..., :classes]
    if classes == ID_COUNT and len(build.asked or ()) != ID_COUNT:
        scores, classes = scores.take(IDS, axis=2), len(IDS)
    found = corners(build.graph, boxes[..., :2], boxes[..., 2:]) * build.sides()
    return FamilyOutputs(found, scores, build.labels(classes))


FAMILY = Family(
    "logits (B, N, C + 1), the last one 'no object', and boxes (B, N, 4) in 0..1: centre and size",
    fits,
    decode,
    "stretch",
)
