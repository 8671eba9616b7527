"""NanoDet and NanoDet-Plus against their decoding by hand, and on real photos against the official way of using it."""

import math

import cv2
import numpy as np
import onnx
import pytest
from on_photos import scores_of_both
from stranger_forms import CLASSES, nanodet
from strangers import check, grid, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.request import Request

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
MIDDLE = {(8, 16, 32): 0.5, (8, 16, 32, 64): 0.0}  # of a cell, from which NanoDet and the Plus look


def by_hand(scores, sides, size, strides, offset):
    """`distance2bbox` of `Integral`, cell by cell."""
    boxes = []
    for row, (column, line, stride) in zip(sides, grid(size, strides), strict=True):
        left, up, right, down = (
            stride
            * sum(i * math.exp(v - max(bins)) for i, v in enumerate(bins))
            / sum(math.exp(v - max(bins)) for v in bins)
            for bins in row.reshape(4, 8)
        )
        x, y = (column + offset) * stride, (line + offset) * stride
        boxes.append([x - left, y - up, x + right, y + down])
    return np.array(boxes), scores


@pytest.mark.parametrize("strides", MIDDLE)
@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize(("own", "size"), [((96, 64), (96, 64)), (None, (128, 96))], ids=["fixed", "free"])
def test_the_engine_decodes_distributions(tmp_path, own, size, joined, strides):
    theirs = save(nanodet(own, strides, joined), tmp_path)
    ours = save(foreign.export(theirs, "nanodet", Request("x", CLASSES)), tmp_path, "ours.onnx")

    def expected(picture):
        outputs = raw(theirs, planes(picture, MEAN, STD))
        if joined:
            scores, sides = outputs[0][:, : len(CLASSES)], outputs[0][:, len(CLASSES) :]
        else:
            scores, sides = np.concatenate(outputs[: len(strides)]), np.concatenate(outputs[len(strides) :])
        return by_hand(scores, sides, size, strides, MIDDLE[strides])

    check(ours, expected, size)


def test_the_order_of_the_outputs_does_not_matter(tmp_path):
    found = []
    for order in (1, -1):
        theirs = save(nanodet((64, 64), (8, 16, 32), False, order), tmp_path)
        model = foreign.export(theirs, "nanodet", Request("x", CLASSES))
        found.append(raw(save(model, tmp_path, "ours.onnx"), np.full((1, 64, 64, 3), 99, np.uint8)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pictures_stand_in_the_middle_on_black(tmp_path):
    theirs = save(nanodet((64, 64), (8, 16, 32), False), tmp_path)
    assert foreign.recognise(theirs) == "nanodet"
    about = metadata.read(save(foreign.export(theirs, "nanodet", Request("x", CLASSES)), tmp_path))
    assert (about.resize, about.pad) == ("letterbox-center", (0, 0, 0))


def test_four_maps_may_be_picodet_s_unless_the_exporter_is_known(tmp_path):
    model = nanodet((64, 64), (8, 16, 32, 64), joined=False)
    with pytest.raises(ExportRefused, match=r"2 ways.*--family nanodet \(BGR .*in the middle\); --family picodet"):
        foreign.recognise(save(model, tmp_path))
    model.producer_name = "PaddlePaddle"
    path = save(model, tmp_path)
    assert foreign.recognise(path) == "picodet"
    with pytest.raises(CheckpointRefused, match="--family nanodet expects"):
        foreign.export(path, "nanodet", Request("x", CLASSES))


@pytest.mark.shared
@pytest.mark.slow
def test_scores_on_photos_are_those_of_the_official_decoder(shared, tmp_path):
    """The picture warped to the middle on black by `get_resize_matrix`; `get_bboxes`, then cut by `warp_boxes`."""
    file = shared / "weights/onnx/nanodet_m.onnx"
    side = 416

    def official(session, image):
        height, width = image.shape[:2]
        ratio = min(side / height, side / width)
        warp = np.array([[ratio, 0, (side - ratio * width) / 2], [0, ratio, (side - ratio * height) / 2]])
        canvas = cv2.warpAffine(image, warp, (side, side))
        outputs = session.run(None, {"input.1": planes(canvas, MEAN, STD)})
        scores = np.concatenate([out[0] for out in outputs[:3]])
        sides = np.concatenate([out[0] for out in outputs[3:]]).reshape(-1, 4, 8)
        bins = np.exp(sides - sides.max(axis=2, keepdims=True))
        places = np.array(grid((side, side), (8, 16, 32)))
        distances = (bins * np.arange(8)).sum(2) / bins.sum(2) * places[:, 2:]
        points = (places[:, :2] + 0.5) * places[:, 2:]
        boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
        return np.clip((boxes - np.tile(warp[:, 2], 2)) / ratio, 0, [width, height] * 2), scores

    model = foreign.export(file, foreign.recognise(file), Request("nanodet-m"))
    onnx.save(model, tmp_path / "ours.onnx")
    theirs, ours = scores_of_both(official, file, tmp_path / "ours.onnx", shared)
    assert theirs > 0.3
    assert ours == pytest.approx(theirs, abs=0.005)
