"""YOLOX against its decoding by hand, and on real photos against its authors' way of using it."""

import math

import cv2
import numpy as np
import onnx
import pytest
from on_photos import scores_of_both
from stranger_forms import GRID as STRIDES
from stranger_forms import yolox
from strangers import ThirdParty, check, grid, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.request import Request

CLASSES = ("cat", "dog")


def by_hand(out, size):
    boxes, scores = [], []
    for row, (column, line, stride) in zip(out, grid(size, STRIDES), strict=True):
        x, y = (row[0] + column) * stride, (row[1] + line) * stride
        w, h = math.exp(row[2]) * stride, math.exp(row[3]) * stride
        boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        scores.append([row[4] * s for s in row[5:]])
    return np.array(boxes), np.array(scores)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("own", "size"),
    [((64, 64), (64, 64)), ((96, 64), (96, 64)), (None, (64, 64)), (None, (128, 96))],
    ids=["fixed", "fixed, no square", "free", "free, no square"],
)
def test_the_engine_decodes_the_grid(tmp_path, own, size, runtime):
    theirs = save(yolox(own), tmp_path)
    model = foreign.export(theirs, "yolox", Request("x", CLASSES))
    ours = save(model, tmp_path, "ours.onnx")
    check(ours, lambda picture: by_hand(raw(theirs, planes(picture))[0], size), size, runtime)


def test_boxes_that_are_decoded_already_are_taken_as_they_are(tmp_path):
    net = ThirdParty((64, 64), scale=1 / 255)
    out = net.rows(STRIDES, 7)
    decoded = net.graph.concat([out[..., :4] * 30.0 + 200.0, net.sigmoid(out[..., 4:])], axis=-1)
    theirs = save(net.outputs(output=decoded), tmp_path)
    ours = save(foreign.export(theirs, "yolox", Request("x", CLASSES)), tmp_path, "ours.onnx")

    def by_hand_in_pixels(picture):
        (out,) = raw(theirs, planes(picture))
        boxes = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in out[:, :4]]
        return np.array(boxes), out[:, 4:5] * out[:, 5:]

    check(ours, by_hand_in_pixels, (64, 64))


def test_what_the_file_says_of_itself(tmp_path):
    about = metadata.read(save(foreign.export(save(yolox(), tmp_path), "yolox", Request("x", CLASSES)), tmp_path))
    assert (about.resize, about.pad, about.stride, about.imgsz) == ("letterbox-floor", (114, 114, 114), 32, 64)


def test_the_family_shows(tmp_path):
    assert foreign.recognise(save(yolox(), tmp_path)) == "yolox"


@pytest.mark.shared
@pytest.mark.slow
def test_scores_on_photos_are_those_of_the_official_decoder(shared, tmp_path):
    """Preprocessing as in Megvii's `preproc`, decoding as in `demo_postprocess`."""
    file = shared / "weights/onnx/yolox_nano.onnx"

    def official(session, image):
        ratio = min(416 / image.shape[0], 416 / image.shape[1])
        small = cv2.resize(image, (int(image.shape[1] * ratio), int(image.shape[0] * ratio)))
        padded = np.full((416, 416, 3), 114, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small
        (out,) = session.run(None, {"images": planes(padded)})
        places = np.array(grid((416, 416), STRIDES))
        centre = (out[0, :, :2] + places[:, :2]) * places[:, 2:]
        half = np.exp(out[0, :, 2:4]) * places[:, 2:] / 2
        return np.concatenate([centre - half, centre + half], axis=1) / ratio, out[0, :, 4:5] * out[0, :, 5:]

    model = foreign.export(file, foreign.recognise(file), Request("yolox-nano"))
    onnx.save(model, tmp_path / "ours.onnx")
    theirs, ours = scores_of_both(official, file, tmp_path / "ours.onnx", shared)
    assert theirs > 0.3
    assert ours == pytest.approx(theirs, abs=0.005)
