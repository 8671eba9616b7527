"""The four forms of SSD's exports against their decoding by hand."""

import numpy as np
import pytest
import stranger_forms as forms
from stranger_forms import CLASSES
from strangers import check, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.request import Request
from watchline.ops.coco import COCO, IDS
from watchline.ops.voc import VOC

SIZE = (96, 64)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB


def spread(marks, found, classes):
    table = np.zeros((len(marks), len(classes)))
    for line, mark, number in zip(table, marks, found, strict=True):
        if number in classes:
            line[list(classes).index(number)] = mark
    return table


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "0..1"])
@pytest.mark.parametrize(("own", "size"), [(SIZE, SIZE), (None, (128, 96))], ids=["fixed", "free"])
def test_columns_of_scores(tmp_path, own, size, pixels, background):
    theirs = save(forms.ssd_columns(own, len(CLASSES) + background, pixels), tmp_path)
    assert foreign.recognise(theirs) == "ssd"
    ours = save(foreign.export(theirs, "ssd", Request("x", CLASSES)), tmp_path, "ours.onnx")

    def expected(picture):
        found, boxes = raw(theirs, planes(picture, 127, 128, rgb=True))
        return boxes * (1 if pixels else np.array(size * 2)), found[:, int(background) :]

    check(ours, expected, size)
    assert metadata.read(ours).resize == "stretch"


@pytest.mark.parametrize(
    ("columns", "labels", "kept"),
    [
        (20, VOC, range(20)),
        (21, VOC, range(1, 21)),
        (80, COCO, range(80)),
        (81, COCO, range(1, 81)),
        (91, COCO, IDS),
    ],
)
def test_columns_tell_the_data_set(tmp_path, columns, labels, kept):
    theirs = save(forms.ssd_columns(SIZE, columns), tmp_path)
    ours = save(foreign.export(theirs, "ssd", Request("x")), tmp_path, "ours.onnx")

    def expected(picture):
        found, boxes = raw(theirs, planes(picture, 127, 128, rgb=True))
        return boxes * np.array(SIZE * 2), found[:, list(kept)]

    check(ours, expected, SIZE)
    assert metadata.read(ours).labels == tuple(labels)


def one_by_one(ours, expected):
    """As `check`, for files that take one picture at a time."""
    from watchline import engines

    picture = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    with engines.load(ours) as engine:
        found = engine.infer(picture[None])
    for name, truth in zip(("boxes", "scores"), expected(picture), strict=True):
        np.testing.assert_allclose(found[name][0], truth, atol=1e-3, rtol=1e-4)


def test_torchvision_s_rows(tmp_path):
    theirs = save(forms.torchvision_rows(SIZE), tmp_path)
    assert foreign.recognise(theirs) == "ssd"
    ours = save(foreign.export(theirs, "ssd", Request("x", CLASSES)), tmp_path, "ours.onnx")

    def expected(picture):
        import onnxruntime as ort

        session = ort.InferenceSession(str(theirs), providers=["CPUExecutionProvider"])
        boxes, found, marks = session.run(None, {"input": planes(picture, std=255, rgb=True)[0]})
        return boxes, spread(marks, found, (1, 2, 3))

    one_by_one(ours, expected)


@pytest.mark.parametrize(("own", "size"), [(SIZE, SIZE), (None, (128, 96))], ids=["fixed", "free"])
def test_the_model_zoo_s_rows_have_coco_s_numbers(tmp_path, own, size):
    theirs = save(forms.model_zoo_rows(own), tmp_path)
    ours = save(foreign.export(theirs, "ssd", Request("x", tuple(COCO))), tmp_path, "ours.onnx")

    def expected(picture):
        boxes, found, marks = raw(theirs, planes(picture, MEAN, STD, rgb=True))
        return boxes * np.array(size * 2), spread(marks, found, range(1, 81))

    check(ours, expected, size)


def test_tensorflow_s_rows(tmp_path):
    theirs = save(forms.tensorflow_rows(SIZE), tmp_path)
    ours = save(foreign.export(theirs, "ssd", Request("x", tuple(COCO))), tmp_path, "ours.onnx")

    def expected(picture):
        boxes, found, marks = raw(theirs, picture[None, :, :, ::-1])
        width, height = SIZE
        upright = [[x1 * width, y1 * height, x2 * width, y2 * height] for y1, x1, y2, x2 in boxes]
        return np.array(upright), spread(marks, found, IDS)

    one_by_one(ours, expected)
