"""A training that goes on from a model that ships begins with what that model computes; other files are named."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from watchline import engines
from watchline.engines import zoo
from watchline.engines.errors import ModelNotFound, ModelRefused
from watchline.export.pytorch.exported import load
from watchline.models.efficientnet_lite import SCALE, normalise
from watchline.models.errors import CheckpointError
from watchline.models.fcn_lite import FCNLite
from watchline.models.mask_rcnn_lite import LiteMaskRCNN
from watchline.ops.camvid import CAMVID
from watchline.train import mask_rcnn, segment
from watchline.train.camvid import Scene
from watchline.train.people import Masked


@pytest.fixture(scope="module")
def frame(bikes):
    """(272, 640, 3) uint8 BGR: a street."""
    capture = cv2.VideoCapture(str(bikes))
    return [capture.read()[1] for _ in range(121)][-1]


def rgb(bgr):
    """(1, 3, H, W) uint8."""
    return torch.from_numpy(bgr[None, ..., ::-1].transpose(0, 3, 1, 2).copy())


def test_the_segmenter_that_ships_is_read_back(frame):
    picture = cv2.resize(frame, (496, 368))
    with engines.load(zoo.find("fcn-lite0")) as engine:
        shipped = engine.infer(picture[None])["classes"][0]
    model = FCNLite(len(CAMVID))
    load(model, zoo.find("fcn-lite0"), SCALE)
    with torch.no_grad():
        again = model.eval()(normalise(rgb(picture))).argmax(1)[0].numpy()
    assert len(np.unique(shipped)) > 3
    assert (again == shipped).mean() > 0.9999


def test_the_mask_rcnn_that_ships_is_read_back(frame):
    picture = cv2.resize(frame, (512, 448))
    with engines.load(zoo.find("mask-rcnn-lite0")) as engine:
        shipped = engine.infer(picture[None])
    model = LiteMaskRCNN(1)
    load(model, zoo.find("mask-rcnn-lite0"), SCALE)
    with torch.no_grad():
        boxes, scores, masks = model.eval()(rgb(picture))
    assert shipped["scores"].max() > 0.5
    np.testing.assert_allclose(boxes, shipped["boxes"], atol=0.05)
    np.testing.assert_allclose(scores, shipped["scores"], atol=1e-3)
    np.testing.assert_allclose(masks, shipped["masks"], atol=1e-3)


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("yolov2-slim", CheckpointError),
        ("mask-rcnn-lite0", CheckpointError),
        ("none.onnx", ModelNotFound),
        ("broken.onnx", ModelRefused),
    ],
)
def test_what_is_no_such_network_is_named(file, error, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    path = tmp_path / file if file.endswith(".onnx") else zoo.find(file)
    with pytest.raises(error, match=file):
        load(FCNLite(len(CAMVID)), path, SCALE)


def test_a_network_with_fewer_layers_is_not_taken_for_the_whole():
    model = FCNLite(len(CAMVID))
    model.mix_finest = nn.Sequential()
    with pytest.raises(CheckpointError, match="it is no FCNLite"):
        load(model, zoo.find("fcn-lite0"), SCALE)


def scenes(frame):
    """Four streets, and the classes that the shipped model gives them."""
    pictures = [np.ascontiguousarray(cv2.resize(frame, (496, 368))[:, ::step]) for step in (1, -1)]
    with engines.load(zoo.find("fcn-lite0")) as engine:
        return [Scene("s", picture, engine.infer(picture[None])["classes"][0]) for picture in pictures]


def test_a_segmenter_s_training_goes_on_from_it(frame, tmp_path):
    recipe = segment.Recipe(steps=1, batch=2, crop=(256, 208), stretch=1, turn=0, light=1, colour=1, scales=(0.9, 1))
    [figures] = segment.train(scenes(frame), tmp_path / "on", recipe, 1, zoo.find("fcn-lite0"))
    [afresh] = segment.train(scenes(frame), tmp_path / "afresh", recipe, 1)
    assert figures["entropy"] < 1 < 2 < afresh["entropy"]


def test_a_mask_rcnn_s_training_goes_on_from_it(frame, tmp_path):
    plane = np.zeros(frame.shape[:2], np.uint8)
    plane[60:220, 300:360] = 1
    recipe = mask_rcnn.Recipe(steps=1, batch=1, width=256, height=192)
    list(mask_rcnn.train([[Masked(frame, plane, "street")]], tmp_path, recipe, 1, zoo.find("mask-rcnn-lite0")))
    weights = torch.load(tmp_path / mask_rcnn.CHECKPOINT, weights_only=True)["model"]
    shipped = LiteMaskRCNN(1)
    load(shipped, zoo.find("mask-rcnn-lite0"), SCALE)
    for name, value in shipped.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0.01, atol=0.01, msg=name)
