"""PicoDet against its decoding by hand, and on real photos against its authors' way of using it."""

import cv2
import numpy as np
import onnx
import pytest
from on_photos import scores_of_both
from stranger_forms import PLUS as STRIDES
from stranger_forms import picodet
from strangers import check, grid, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.request import Request

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
CLASSES = ("cat", "dog")


def by_hand(outputs, size):
    scores, sides = np.concatenate(outputs[:4]), np.concatenate(outputs[4:]).reshape(-1, 4, 8)
    bins = np.exp(sides - sides.max(axis=2, keepdims=True))
    places = np.array(grid(size, STRIDES))
    distances = (bins / bins.sum(axis=2, keepdims=True)) @ np.arange(8) * places[:, 2:]
    points = (places[:, :2] + 0.5) * places[:, 2:]
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1), scores


@pytest.mark.parametrize(
    ("own", "size"),
    [((96, 96), (96, 96)), ((96, 64), (96, 64)), (None, (160, 96))],
    ids=["fixed, half a cell over", "no square", "free"],
)
def test_the_engine_decodes_distributions(tmp_path, own, size):
    theirs = save(picodet(own), tmp_path)
    ours = save(foreign.export(theirs, "picodet", Request("x", CLASSES)), tmp_path, "ours.onnx")
    check(ours, lambda picture: by_hand(raw(theirs, planes(picture, MEAN, STD)), size), size)


def test_the_family_shows_and_pictures_are_stretched(tmp_path):
    theirs = save(picodet(), tmp_path)
    assert foreign.recognise(theirs) == "picodet"
    about = metadata.read(save(foreign.export(theirs, "picodet", Request("x", CLASSES)), tmp_path))
    assert about.resize == "stretch"


@pytest.mark.shared
@pytest.mark.slow
def test_scores_on_photos_are_those_of_the_official_decoder(shared, tmp_path):
    file = shared / "weights/onnx/picodet_s_416_coco.onnx"

    def official(session, image):
        height, width = image.shape[:2]
        stretched = cv2.resize(image, (416, 416))
        outputs = session.run(None, {"image": planes(stretched, MEAN, STD)})
        boxes, scores = by_hand([out[0] for out in outputs], (416, 416))
        return boxes * np.array([width, height, width, height]) / 416, scores

    model = foreign.export(file, foreign.recognise(file), Request("picodet"))
    onnx.save(model, tmp_path / "ours.onnx")
    theirs, ours = scores_of_both(official, file, tmp_path / "ours.onnx", shared)
    assert theirs > 0.3
    assert ours == pytest.approx(theirs, abs=0.005)
