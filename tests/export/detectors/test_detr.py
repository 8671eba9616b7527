"""DETR's set of boxes against its decoding by hand."""

import math

import numpy as np
import pytest
from stranger_forms import detr
from strangers import ThirdParty, check, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.request import Request
from watchline.ops.coco import COCO, UNUSED_IDS

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB
CLASSES = ("cat", "dog")


def by_hand(logits, boxes, size, keep):
    width, height = size
    found = [
        [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height] for x, y, w, h in boxes
    ]
    scores = [[math.exp(row[c]) / sum(math.exp(v) for v in row) for c in keep] for row in logits]
    return np.array(found), np.array(scores)


@pytest.mark.parametrize(("own", "size"), [((96, 64), (96, 64)), (None, (128, 96))], ids=["fixed", "free"])
@pytest.mark.parametrize("order", [1, -1], ids=["logits first", "boxes first"])
def test_the_engine_decodes_the_set(tmp_path, own, size, order):
    theirs = save(detr(own, order=order), tmp_path)
    assert foreign.recognise(theirs) == "detr"
    ours = save(foreign.export(theirs, "detr", Request("x", CLASSES)), tmp_path, "ours.onnx")

    def expected(picture):
        logits, boxes = raw(theirs, planes(picture, MEAN, STD, rgb=True))[::order]
        return by_hand(logits, boxes, size, range(len(CLASSES)))

    check(ours, expected, size)
    assert metadata.read(ours).resize == "stretch"


def test_of_coco_s_91_numbers_the_eighty_with_names_stay(tmp_path):
    theirs = save(detr(classes=91), tmp_path)
    ours = save(foreign.export(theirs, "detr", Request("x")), tmp_path, "ours.onnx")
    keep = [number for number in range(91) if number not in UNUSED_IDS]

    def expected(picture):
        return by_hand(*raw(theirs, planes(picture, MEAN, STD, rgb=True)), (96, 64), keep)

    check(ours, expected, (96, 64))
    labels = metadata.read(ours).labels
    assert labels == tuple(COCO)
    # Known from the data set: 1 person, 18 dog, 44 bottle, 62 chair, 90 toothbrush.
    numbers = {"person": 1, "dog": 18, "bottle": 44, "chair": 62, "toothbrush": 90}
    assert {name: keep[labels.index(name)] for name in numbers} == numbers


def test_all_of_the_picture_is_picture_where_there_is_a_mask(tmp_path):
    plain = save(foreign.export(save(detr(), tmp_path), "detr", Request("x", CLASSES)), tmp_path, "plain.onnx")
    masked = save(foreign.export(save(detr(mask=True), tmp_path), "detr", Request("x", CLASSES)), tmp_path, "m.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    for a, b in zip(raw(plain, picture), raw(masked, picture), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_names_are_asked_for(tmp_path):
    with pytest.raises(ExportRefused, match="it has 2 classes and no names for them; name them with --labels FILE"):
        foreign.export(save(detr(), tmp_path), "detr", Request("x"))


def test_probabilities_are_no_logits(tmp_path):
    net = ThirdParty((96, 64))
    model = net.outputs(logits=net.sigmoid(net.rows((16,), 3)), pred_boxes=net.sigmoid(net.rows((16,), 4)))
    with pytest.raises(CheckpointRefused, match=r"--family detr expects logits \(B, N, C \+ 1\)"):
        foreign.export(save(model, tmp_path), "detr", Request("x", CLASSES))
