"""DETR (Carion et al., 2020): a set of boxes, each with a class or none.

Outputs are logits (B, N, C + 1), the last column "no object", and boxes (B, N, 4): centre and size in 0..1. Pixels are
RGB with ImageNet's mean and deviation. The official weights number COCO's classes 0..90; the eighty with names stay.
"""

from typing import Any

from numpy.typing import NDArray

from watchline.export.detectors import signs
from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, always, corners
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation
from watchline.export.surgery import Value
from watchline.ops.coco import ID_COUNT, IDS


def places_of(network: ThirdPartyNetwork) -> tuple[int, int] | None:
    """Of logits and boxes among the outputs: scores beyond 0..1 and boxes within, as many rows of each."""
    arrays = list(network.tried.values())
    if len(arrays) < 2 or any(array.ndim != 3 or not array.size for array in arrays[:2]):
        return None  # exports with auxiliary outputs have the two of the last layer first
    named = [i for i, name in enumerate(list(network.tried)[:2]) if "box" in name.lower()]
    boxes = next((i for i in named or (1, 0) if arrays[i].shape[2] == 4 and in_unit(arrays[i])), None)
    if boxes is None or arrays[0].shape[1] != arrays[1].shape[1] or in_unit(arrays[1 - boxes]):
        return None
    return 1 - boxes, boxes


def logits_of(network: ThirdPartyNetwork) -> NDArray[Any]:
    """(B, N, C) that came out for noise, of a network that has them."""
    places = places_of(network)
    assert places, "the outputs were found to fit"
    return list(network.tried.values())[places[0]]


def fits(network: ThirdPartyNetwork) -> bool:
    """Logits, at least one and "no object", and boxes in 0..1."""
    return places_of(network) is not None and logits_of(network).shape[2] > 1


def tells(network: ThirdPartyNetwork) -> bool:
    """The last column says "no object" of noise."""
    return signs.for_softmax(logits_of(network))


def outputs_of(build: Build) -> tuple[Value, Value]:
    """Logits (B, N, C), and boxes (B, N, 4) xyxy in pixels."""
    places = places_of(build.network)
    assert places, "the outputs were found to fit"
    outputs = build.run()
    logits, boxes = (outputs[place] for place in places)
    return logits, corners(build.graph, boxes[..., :2], boxes[..., 2:]) * build.sides()


def named(build: Build, scores: Value, classes: int) -> tuple[Value, tuple[str, ...]]:
    """The scores (B, N, C) of classes with a name: of COCO's numbers 0..90 the eighty. And the names."""
    if classes == ID_COUNT and len(build.asked or ()) != ID_COUNT:
        return scores.take(IDS, axis=2), build.labels(len(IDS))
    return scores, build.labels(classes)


def decode(build: Build) -> FamilyOutputs:
    """Softmax over the classes and "no object", which goes."""
    logits, boxes = outputs_of(build)
    classes = logits_of(build.network).shape[2] - 1
    return FamilyOutputs(boxes, *named(build, logits.softmax()[..., :classes], classes))


FAMILY = Family(
    "logits (B, N, C + 1), the last one 'no object', and boxes (B, N, 4) in 0..1: centre and size",
    fits,
    tells,
    always(Preparation("stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)),
    decode,
)
