"""Third-party networks in every form of the families of detectors, with random weights."""

import numpy as np
import onnx
from strangers import ThirdParty

from watchline.export.surgery import Value

Size = tuple[int, int] | None  # (width, height), None for free sides and batch
CLASSES = ("cat", "dog", "cow")
GRID = (8, 16, 32)  # strides of three maps
PLUS = (*GRID, 64)


def yolox(size: Size = (64, 64), classes: int = 2) -> onnx.ModelProto:
    """(B, N, 5 + C): cells' offsets and logarithms of sides, objectness, classes."""
    net = ThirdParty(size, scale=1 / 255, name="images")
    out = net.rows(GRID, 5 + classes)
    return net.outputs(output=net.graph.concat([out[..., :4], net.sigmoid(out[..., 4:])], axis=-1))


def columns(size: Size = (96, 64)) -> onnx.ModelProto:
    """YOLOv8's (B, 4 + C, N)."""
    net = ThirdParty(size, name="images")
    rows = net.rows(GRID, 4 + len(CLASSES))
    joined = net.graph.concat([_centred(rows[..., :4]), net.sigmoid(rows[..., 4:])], axis=2)
    return net.outputs(output0=joined.transpose(0, 2, 1))


def rows_with_objectness(size: Size = (96, 64)) -> onnx.ModelProto:
    """YOLOv5's (B, 3 N, 5 + C)."""
    net = ThirdParty(size, name="images")
    rows = net.rows(GRID * 3, 5 + len(CLASSES))
    joined = net.graph.concat([_centred(rows[..., :4]), net.sigmoid(rows[..., 4:])], axis=2)
    return net.outputs(output0=joined)


def best(size: Size = (96, 64)) -> onnx.ModelProto:
    """YOLOv10's (B, N, 6): corners, score, class."""
    net = ThirdParty(size, name="images")
    rows = net.rows((16,), 6)
    number = net.graph.add("Floor", net.sigmoid(rows[..., 5:]) * float(len(CLASSES)))
    joined = net.graph.concat([_centred(rows[..., :4]), net.sigmoid(rows[..., 4:5]), number], axis=2)
    return net.outputs(output0=joined)


def _centred(rows: Value) -> Value:
    """(B, N, 4): centres and sizes somewhere in the picture."""
    return (rows * 0.2 + 0.5) * 64.0


def nanodet(
    size: Size = (96, 64), strides: tuple[int, ...] = GRID, joined: bool = False, order: int = 1
) -> onnx.ModelProto:
    """Scores and distributions of sides of each map: apart, the scores first unless `order` is -1; or joined."""
    net = ThirdParty(size)
    scores = [net.sigmoid(net.map(s, len(CLASSES)).transpose(0, 2, 1)) for s in strides]
    sides = [(net.map(s, 32) * 3.0).transpose(0, 2, 1) for s in strides]
    if joined:
        both = [net.graph.concat([a, b], axis=2) for a, b in zip(scores, sides, strict=True)]
        return net.outputs(output=net.graph.concat(both, axis=1))
    return net.outputs(**{f"out_{i}": value for i, value in enumerate((scores + sides)[::order])})


def picodet(size: Size = (96, 96), classes: int = 2) -> onnx.ModelProto:
    """As NanoDet-Plus, by PaddlePaddle."""
    net = ThirdParty(size)
    outputs = [net.sigmoid(net.map(s, classes).transpose(0, 2, 1)) for s in PLUS]
    outputs += [(net.map(s, 32) * 3.0).transpose(0, 2, 1) for s in PLUS]
    model = net.outputs(**{f"scale_{i}.tmp_1": value for i, value in enumerate(outputs)})
    model.producer_name = "PaddlePaddle"
    return model


def detr(size: Size = (96, 64), classes: int = 2, mask: bool = False, order: int = 1) -> onnx.ModelProto:
    """Logits (B, N, C + 1) and boxes (B, N, 4); the boxes first if `order` is -1."""
    net = ThirdParty(size, name="pixel_values")
    logits = net.rows((16,), classes + 1)
    logits = logits + np.eye(classes + 1, dtype=np.float32)[-1] * 6.0  # "no object" of noise
    boxes = net.sigmoid(net.rows((16,), 4))
    if mask:  # as optimum has it: pixels that are padding have no say
        width, height = size or ("w", "h")
        given = net.graph.input("pixel_mask", np.int64, (1, height, width))
        boxes = boxes * net.graph.add("ReduceMin", given.cast(np.float32), keepdims=0)
    return net.outputs(**dict([("logits", logits), ("pred_boxes", boxes)][::order]))


def ssd_columns(size: Size = (96, 64), columns: int = len(CLASSES), pixels: bool = False) -> onnx.ModelProto:
    """Scores (B, N, columns) and boxes (B, N, 4), in pixels of a picture of 64 x 64 or in 0..1."""
    net = ThirdParty(size)
    table = net.sigmoid(net.rows((16,), columns))
    return net.outputs(scores=table, boxes=_corners(net, 64.0 if pixels else 1.0))


def torchvision_rows(size: Size = (96, 64)) -> onnx.ModelProto:
    """Boxes (N, 4), labels (N,), scores (N,) of one picture (3, H, W), as torchvision's detectors have them."""
    net = ThirdParty(size, layout="CHW")
    labels = _numbers(net, len(CLASSES)).reshape(-1).cast(np.int64)
    boxes, scores = _corners(net, 64.0).reshape(-1, 4), _scores(net).reshape(-1)
    return _flat(net.outputs(2, boxes=boxes, labels=labels, scores=scores), 1)


def model_zoo_rows(size: Size = (96, 64)) -> onnx.ModelProto:
    """Boxes (B, N, 4), labels (B, N) of COCO's 80 from 1 on, scores (B, N), as the ONNX model zoo's SSD has them."""
    net = ThirdParty(size)
    found = _numbers(net, 80)
    return _flat(net.outputs(bboxes=_corners(net, 1.0), labels=found.cast(np.int64), scores=_scores(net)), 2)


def tensorflow_rows(size: Size = (96, 64)) -> onnx.ModelProto:
    """Boxes yxyx, classes of COCO's 90, scores, of bytes, as TensorFlow's detectors have them."""
    net = ThirdParty(size, dtype=np.uint8, layout="NHWC", scale=1 / 255, name="image_tensor")
    boxes, classes = _corners(net, 1.0), _numbers(net, 90)
    return _flat(net.outputs(detection_boxes=boxes, detection_classes=classes, detection_scores=_scores(net)), 2)


def _corners(net: ThirdParty, scale: float) -> Value:
    """(B, N, 4) xyxy about a picture of (scale, scale)."""
    rows = net.rows((16,), 4) * 0.1 + 0.5
    low, high = rows[..., :2] - 0.1, rows[..., 2:] + 0.1
    return net.graph.concat([low, high], axis=2) * scale


def _numbers(net: ThirdParty, most: int) -> Value:
    """(B, N) float32 class numbers 1..most."""
    return net.graph.add("Floor", net.sigmoid(net.rows((16,), 1)) * float(most)).reshape(0, -1) + 1.0


def _scores(net: ThirdParty) -> Value:
    return net.sigmoid(net.rows((16,), 1)).reshape(0, -1)


def _flat(model: onnx.ModelProto, rank: int) -> onnx.ModelProto:
    """The same, where the outputs behind the first are declared with fewer axes."""
    for value in model.graph.output[1:]:
        del value.type.tensor_type.shape.dim[rank:]
    return model


def yolov6(size: Size = (96, 64), name: str = "outputs", strides: tuple[int, ...] = GRID) -> onnx.ModelProto:
    """(B, N, 5 + C): centres and sizes in pixels, ones, classes."""
    net = ThirdParty(size, name="images")
    rows = net.rows(strides, 5 + len(CLASSES))
    ones = net.graph.add("Clip", rows[..., 4:5], np.array(1, np.float32), np.array(1, np.float32))
    return net.outputs(**{name: net.graph.concat([_centred(rows[..., :4]), ones, net.sigmoid(rows[..., 5:])], axis=-1)})


def deepstream(size: Size = (96, 64), columns: int = 6, classes: int = 3, apart: bool = False) -> onnx.ModelProto:
    """Every cell with its best class: corners, or centres and sizes if they are apart or with objectness."""
    net = ThirdParty(size)
    rows = net.rows(GRID, 7)
    boxes = _centred(rows[..., :4]) if apart or columns == 7 else _corners_of(net, rows, 64.0)
    score = net.sigmoid(rows[..., 4:5])
    number = net.graph.add("Floor", net.sigmoid(rows[..., 5:6]) * float(classes))
    if apart:
        return net.outputs(boxes=boxes, scores=score, classes=number)
    more = [net.sigmoid(rows[..., 6:])] if columns == 7 else []
    return net.outputs(output=net.graph.concat([boxes, score, number, *more], axis=2))


def yolonas(size: Size = (96, 64), order: int = 1) -> onnx.ModelProto:
    """Boxes (B, N, 4) in pixels and independent scores (B, N, C) of every cell."""
    net = ThirdParty(size)
    rows = net.rows(GRID, 4 + len(CLASSES))
    outputs = [("913", _corners_of(net, rows, 64.0)), ("904", net.sigmoid(rows[..., 4:]))]
    return net.outputs(**dict(outputs[::order]))


def yolonas_best(size: Size = (96, 64)) -> onnx.ModelProto:
    """The best N of a network that takes bytes; the last row is empty."""
    net = ThirdParty(size, dtype=np.uint8, scale=1 / 255)
    net.x = net.input.cast(np.float32)
    rows = net.rows((16,), 6)
    number = net.graph.add("Floor", net.sigmoid(rows[..., 5:]) * float(len(CLASSES))).reshape(0, -1)
    count = net.graph.add("ReduceSum", number * 0.0 + 1.0, np.array([-1]), keepdims=1).cast(np.int64)
    boxes, score = _corners_of(net, rows, 64.0), net.sigmoid(rows[..., 4:5]).reshape(0, -1)
    names = [f"graph2_{name}" for name in ("num_predictions", "pred_boxes", "pred_scores", "pred_classes")]
    return _ranks(
        net.outputs(**dict(zip(names, (count, boxes, score, number.cast(np.int64)), strict=True))), 2, 3, 2, 2
    )


def rtdetr(size: Size = (96, 64), classes: int = 3, layer: str = "enc_score_head") -> onnx.ModelProto:
    """Logits for a sigmoid (B, N, C) and boxes (B, N, 4), by optimum: nodes are called after layers."""
    net = ThirdParty(size, name="pixel_values")
    logits = net.rows((16,), classes) - 4.0
    model = net.outputs(logits=logits, pred_boxes=net.sigmoid(net.rows((16,), 4)))
    model.graph.node[0].name = f"/model/{layer}/MatMul"
    return model


def rtdetr_rows(size: Size = (96, 64)) -> onnx.ModelProto:
    """Labels, boxes in pixels of `orig_target_sizes` and scores, by the authors."""
    net = ThirdParty(size, name="images")
    sizes = net.graph.input("orig_target_sizes", np.int64, (1, 2))
    side = net.graph.concat([sizes, sizes], axis=1).cast(np.float32).reshape(0, 1, 4)
    number = net.graph.add("Floor", net.sigmoid(net.rows((16,), 1)) * float(len(CLASSES))).reshape(0, -1)
    boxes = _corners(net, 1.0) * side
    return _ranks(net.outputs(labels=number.cast(np.int64), boxes=boxes, scores=_scores(net)), 2, 3, 2)


def rtdetr_joined(size: Size = (96, 64), classes: int = 2) -> onnx.ModelProto:
    """Boxes in 0..1 and scores in one (B, N, 4 + C), by Ultralytics."""
    net = ThirdParty(size, name="images")
    return net.outputs(output0=net.sigmoid(net.rows((16,), 4 + classes)))


def rfdetr(size: Size = (96, 64), columns: int = 4) -> onnx.ModelProto:
    """Boxes and logits for a sigmoid, one column more than classes."""
    net = ThirdParty(size)
    return net.outputs(dets=net.sigmoid(net.rows((16,), 4)), labels=net.rows((16,), columns) - 4.0)


def ppyoloe(size: Size = (96, 64), joined: bool = False) -> onnx.ModelProto:
    """Corners in pixels over `scale_factor`, and scores (B, C, N), or both in one."""
    net = ThirdParty(size, name="image")
    factor = net.graph.input("scale_factor", np.float32, (1, 2))
    rows = net.rows(GRID, 4 + len(CLASSES))
    boxes = _corners_of(net, rows, 64.0) / net.graph.concat([factor, factor], axis=1).reshape(0, 1, 4)
    scores = net.sigmoid(rows[..., 4:])
    if joined:
        model = net.outputs(concat=net.graph.concat([boxes, scores], axis=2))
    else:
        model = net.outputs(boxes=boxes, scores=scores.transpose(0, 2, 1))
    model.producer_name = "PaddlePaddle"
    return model


def _corners_of(net: ThirdParty, rows: Value, scale: float) -> Value:
    """(B, N, 4) xyxy from four columns of rows."""
    low = rows[..., :2] * 0.2 + 0.3
    return net.graph.concat([low, low + 0.1 + net.sigmoid(rows[..., 2:4])], axis=2) * scale


def _ranks(model: onnx.ModelProto, *ranks: int) -> onnx.ModelProto:
    """The same, where each output is declared with so many axes."""
    for value, rank in zip(model.graph.output, ranks, strict=True):
        dims = value.type.tensor_type.shape.dim
        while len(dims) < rank:
            dims.add()
        del dims[rank:]
    return model


def with_raw_maps(size: Size = (96, 64)) -> onnx.ModelProto:
    """YOLOv5's rows up to 6.0, and beside them the three maps before their decoding."""
    net = ThirdParty(size, name="images")
    rows = net.rows(GRID * 3, 5 + len(CLASSES))
    joined = net.graph.concat([_centred(rows[..., :4]), net.sigmoid(rows[..., 4:])], axis=2)
    maps = {f"map_{s}": net.map(s, 24).reshape(0, 3, 8, -1, 1) for s in GRID}
    return _ranks(net.outputs(output=joined, **maps), 3, 5, 5, 5)


def with_training_head(size: Size = (96, 64)) -> onnx.ModelProto:
    """YOLOv9's columns: those of the branch that helps its training come first."""
    net = ThirdParty(size, name="images")
    found = []
    for _ in range(2):
        rows = net.rows(GRID, 4 + len(CLASSES))
        joined = net.graph.concat([_centred(rows[..., :4]), net.sigmoid(rows[..., 4:])], axis=2)
        found.append(joined.transpose(0, 2, 1))
    return net.outputs(output0=found[0], other=found[1])
