"""The four forms of SSD's exports against their decoding by hand."""

import numpy as np
import pytest
from strangers import Stranger, check, planes, raw, save

from watchline.engines import metadata
from watchline.export import foreign
from watchline.export.class_names import COLUMNS
from watchline.export.request import Request
from watchline.ops.coco import COCO
from watchline.ops.voc import VOC

SIZE = (96, 64)
CLASSES = ("cat", "dog", "cow")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB


def corners(net, scale):
    """(B, N, 4) xyxy about a picture of (scale, scale)."""
    rows = net.rows((16,), 4) * 0.1 + 0.5
    low, high = rows[..., :2] - 0.1, rows[..., 2:] + 0.1
    return net.graph.concat([low, high], axis=2) * scale


def numbers(net, most):
    """(B, N) float32 class numbers 1..most."""
    return net.graph.add("Floor", net.sigmoid(net.rows((16,), 1)) * float(most)).reshape(0, -1) + 1.0


def scores(net):
    return net.sigmoid(net.rows((16,), 1)).reshape(0, -1)


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
    net = Stranger(own)
    table = net.sigmoid(net.rows((16,), len(CLASSES) + background))
    theirs = save(net.outputs(scores=table, boxes=corners(net, 64.0 if pixels else 1.0)), tmp_path)
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
        (91, COCO, COLUMNS),
    ],
)
def test_columns_tell_the_data_set(tmp_path, columns, labels, kept):
    net = Stranger(SIZE)
    theirs = save(net.outputs(scores=net.sigmoid(net.rows((16,), columns)), boxes=corners(net, 1.0)), tmp_path)
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
    net = Stranger(SIZE, layout="CHW")
    labels = numbers(net, len(CLASSES)).reshape(-1).cast(np.int64)
    model = net.outputs(2, boxes=corners(net, 64.0).reshape(-1, 4), labels=labels, scores=scores(net).reshape(-1))
    for value in model.graph.output[1:]:
        del value.type.tensor_type.shape.dim[1:]
    theirs = save(model, tmp_path)
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
    net = Stranger(own)
    found = numbers(net, 80)
    model = net.outputs(bboxes=corners(net, 1.0), labels=found.cast(np.int64), scores=scores(net))
    for value in model.graph.output[1:]:
        del value.type.tensor_type.shape.dim[2:]
    theirs = save(model, tmp_path)
    ours = save(foreign.export(theirs, "ssd", Request("x")), tmp_path, "ours.onnx")

    def expected(picture):
        boxes, found, marks = raw(theirs, planes(picture, MEAN, STD, rgb=True))
        return boxes * np.array(size * 2), spread(marks, found, range(1, 81))

    check(ours, expected, size)


def test_tensorflow_s_rows(tmp_path):
    net = Stranger(SIZE, dtype=np.uint8, layout="NHWC", scale=1 / 255, name="image_tensor")
    model = net.outputs(
        detection_boxes=corners(net, 1.0), detection_classes=numbers(net, 90), detection_scores=scores(net)
    )
    for value in model.graph.output[1:]:
        del value.type.tensor_type.shape.dim[2:]
    theirs = save(model, tmp_path)
    ours = save(foreign.export(theirs, "ssd", Request("x")), tmp_path, "ours.onnx")

    def expected(picture):
        boxes, found, marks = raw(theirs, picture[None, :, :, ::-1])
        width, height = SIZE
        upright = [[x1 * width, y1 * height, x2 * width, y2 * height] for y1, x1, y2, x2 in boxes]
        return np.array(upright), spread(marks, found, COLUMNS)

    one_by_one(ours, expected)
