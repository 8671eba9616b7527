"""SSD and what is exported as it is: boxes and scores side by side. Four forms are common, told by their outputs:

| outputs | from | boxes | pixels |
| --- | --- | --- | --- |
| boxes (B, N, 4), scores (B, N, C), before suppression | pytorch-ssd and its like | xyxy | RGB, (p - 127) / 128 |
| boxes (N, 4), labels (N), scores (N), input without a batch | torchvision | xyxy in pixels | RGB in 0..1 |
| boxes (B, N, 4), labels (B, N), scores (B, N) | ONNX model zoo, ResNet-34 | xyxy in 0..1 | RGB, ImageNet's mean |
| detection_boxes, _classes, _scores, input uint8 | TensorFlow | y1 x1 y2 x2 in 0..1 | RGB in 0..255 |

Where there is a column or number for the background it is the first, and goes. Numbers of COCO's eighty names are
COCO's: with its gaps from torchvision and TensorFlow, without from the model zoo. Boxes before suppression may be in
0..1 or in pixels: their size tells. The pictures are stretched.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.export.class_names import KNOWN, own_names
from watchline.export.detectors import signs
from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, one_hot
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation
from watchline.export.surgery import Value
from watchline.ops.coco import COCO, ID_COUNT, IDS

UNIT = 2.0  # boxes in 0..1 reach over the edge, but not so far; in pixels they do
CENTRED = Preparation("stretch", top=255, mean=(127, 127, 127), std=(128, 128, 128))


@dataclass(frozen=True)
class _Form:
    """Places of the outputs; `classes` is None where there is a column of scores for each class."""

    boxes: int
    scores: int
    classes: int | None


def _form(network: ThirdPartyNetwork) -> _Form | None:
    names, arrays = list(network.tried), list(network.tried.values())
    boxes = [i for i, a in enumerate(arrays) if a.ndim >= 2 and a.shape[-1] == 4 and a.dtype.kind == "f"]
    boxes.sort(key=lambda i: "box" not in names[i].lower())
    if not boxes:
        return None
    rows = arrays[boxes[0]].shape[:-1]
    rest = [i for i, a in enumerate(arrays) if i != boxes[0] and a.shape[: len(rows)] == rows]
    tables = [i for i in rest if arrays[i].ndim == 3 and in_unit(arrays[i])]
    if len(rest) == len(tables) == 1 and len(arrays) == 2:
        return _Form(boxes[0], tables[0], None)
    in_pixels = np.abs(arrays[boxes[0]]).max(initial=0) > UNIT
    if network.companions or (in_pixels and len(rows) == 2) or any("pred_" in name for name in names):
        return None  # RT-DETR's and YOLO-NAS's rows, of the same names
    scores = [i for i in rest if arrays[i].shape == rows and "score" in names[i].lower()]
    classes = [
        i for i in rest if arrays[i].shape == rows and ("label" in names[i].lower() or "class" in names[i].lower())
    ]
    if len(scores) == len(classes) == 1:
        return _Form(boxes[0], scores[0], classes[0])
    return None


def fits(network: ThirdPartyNetwork) -> bool:
    """Boxes, scores, and classes or a column for each."""
    return _form(network) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """Rows of the best; columns that add up to 1, one of them the background's."""
    form = _form(network)
    return form is not None and (form.classes is not None or signs.shares(list(network.tried.values())[form.scores]))


def prepare(network: ThirdPartyNetwork) -> Preparation:
    """By the form, see the table above."""
    form = _form(network)
    assert form, "the outputs were found to fit"
    if form.classes is None:
        return CENTRED
    if network.picture.dtype == np.uint8:
        return Preparation("stretch", top=255)
    if len(network.shapes[form.boxes]) == 2:
        return Preparation("stretch")
    return Preparation("stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def decode(build: Build) -> FamilyOutputs:
    """By the form, see the table above."""
    form = _form(build.network)
    assert form, "the outputs were found to fit"
    if form.classes is None:
        return _columns(build, form)
    return _rows(build, form, form.classes)


def _columns(build: Build, form: _Form) -> FamilyOutputs:
    """Every box with a score for each class."""
    tried = list(build.network.tried.values())
    outputs = build.run()
    boxes, scores = outputs[form.boxes], outputs[form.scores]
    if np.abs(tried[form.boxes]).max() <= UNIT:
        boxes = boxes * build.sides()
    columns = tried[form.scores].shape[2]
    named = build.asked or own_names(build.network.properties, build.network.where)
    expected = {len(named)} if named else set(KNOWN)
    if columns - 1 in expected:
        return FamilyOutputs(boxes, scores[..., 1:], build.labels(columns - 1))
    if columns == ID_COUNT and named is None:
        return FamilyOutputs(boxes, scores.take(IDS, axis=2), build.labels(len(IDS)))
    return FamilyOutputs(boxes, scores, build.labels(columns))


def _rows(build: Build, form: _Form, classes: int) -> FamilyOutputs:
    """Every box with its one class, after suppression."""
    network = build.network
    tensorflow = network.picture.dtype == np.uint8
    torchvision = len(network.shapes[form.boxes]) == 2
    outputs = build.run()
    if tensorflow:
        boxes = outputs[form.boxes].take([1, 0, 3, 2], axis=2) * build.sides()
    elif torchvision:
        boxes = outputs[form.boxes].reshape(1, -1, 4)
    else:
        boxes = outputs[form.boxes] * build.sides()
    labels = build.names()
    numbers = np.arange(1, len(labels) + 1)  # 0 is the background
    if labels == tuple(COCO) and (tensorflow or torchvision):
        numbers = np.array(IDS)
    return FamilyOutputs(boxes, _spread(outputs[form.scores], outputs[classes], numbers, not torchvision), labels)


def _spread(scores: Value, classes: Value, numbers: NDArray[np.int64], batched: bool) -> Value:
    """Scores (B, N, C) from scores and class numbers (B, N), or (N,) where there is no batch."""
    shape = (0 if batched else 1, -1, 1)
    return one_hot(scores.reshape(*shape), classes.cast(np.float32).reshape(*shape), numbers)


FAMILY = Family(
    "boxes (B, N, 4) and scores (B, N, C) in 0..1, or boxes, labels and scores of the best N by these names",
    fits,
    tells,
    prepare,
    decode,
)
