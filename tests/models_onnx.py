"""Tiny real detectors as ONNX, valid and broken, and their expected outputs in NumPy.

One convolution, whose kernel is as large as its stride, reads each cell of `stride` pixels. Four numbers are a box near
the cell, one number per label is its score. The first label detects pure red cells, the second green, the third blue,
with 0.99995; other cells give less than 0.01.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.tasks import LONGEST_QUESTION

LABELS = ("person", "bicycle", "car")
STRIDE = 8
IMGSZ = 64


def about(labels: Sequence[str] = LABELS, imgsz: int = IMGSZ, stride: int = STRIDE) -> Metadata:
    """Metadata of a tiny detector."""
    return Metadata("tiny", "detect", tuple(labels), imgsz, stride, "letterbox", "0" * 64, {"mAP": 0.5})


def tiny_detector(
    labels: Sequence[str] = LABELS,
    *,
    size: tuple[int | str, int | str] = ("width", "height"),
    batch: int | str = "batch",
    nan: str | None = None,
    fails: bool = False,
    logits: bool = False,
    declare: bool = True,
) -> onnx.ModelProto:
    """A detector with metadata.

    Args:
        labels: of the scores; from the fourth on they answer to nothing.
        size: (width, height) of the input, numbers or names of free dimensions.
        batch: a number, or the name of a free dimension.
        nan: "boxes" or "scores" become NaN when the whole batch is white.
        fails: ONNX Runtime raises when the whole batch is black.
        logits: leave the sigmoid of the scores out.
        declare: write the outputs' shapes into the file.
    """
    weight, bias = _weights(len(labels))
    constants = {
        "weight": weight,
        "bias": bias,
        "unit": np.float32(1 / 255),
        "stride": np.float32(STRIDE),
        "half_stride": np.float32(STRIDE / 2),
        "parts": np.array([1, 1, 2, len(labels)]),
        "rows_axis": np.array(1),
        "columns_axis": np.array(2),
        "box_shape": np.array([0, -1, 4]),
        "score_shape": np.array([0, -1, len(labels)]),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("Mul", ["float", "unit"], ["scaled"]),
        node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "weight", "bias"], ["grid"], strides=[STRIDE, STRIDE]),
        node("Transpose", ["grid"], ["cells"], perm=[0, 2, 3, 1]),
        node("Split", ["cells", "parts"], ["tx", "ty", "log_size", "class_logits"], axis=3),
        # Counting ones gives each cell's column and row for any size of the grid.
        node("Shape", ["tx"], ["grid_shape"]),
        node("ConstantOfShape", ["grid_shape"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        node("CumSum", ["ones", "columns_axis"], ["column"], exclusive=1),
        node("CumSum", ["ones", "rows_axis"], ["row"], exclusive=1),
        node("Concat", ["column", "row"], ["cell"], axis=3),
        node("Concat", ["tx", "ty"], ["t"], axis=3),
        node("Sigmoid", ["t"], ["offset"]),
        node("Add", ["offset", "cell"], ["centre_in_cells"]),
        node("Mul", ["centre_in_cells", "stride"], ["centre"]),
        node("Exp", ["log_size"], ["relative_size"]),
        node("Mul", ["relative_size", "half_stride"], ["half"]),
        node("Sub", ["centre", "half"], ["low"]),
        node("Add", ["centre", "half"], ["high"]),
        node("Concat", ["low", "high"], ["corners"], axis=3),
        node("Reshape", ["corners", "box_shape"], ["plain_boxes"]),
        node("Identity" if logits else "Sigmoid", ["class_logits"], ["class_scores"]),
        node("Reshape", ["class_scores", "score_shape"], ["plain_scores"]),
    ]
    nodes += _poisoned("boxes", nan == "boxes", False, constants) + _poisoned(
        "scores", nan == "scores", fails, constants
    )
    width, height = size
    shapes = {"boxes": [batch, "N", 4], "scores": [batch, "N", len(labels)]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, height, width, 3])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v if declare else None) for k, v in shapes.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if declare:  # the checker wants shapes, files in the wild come without
        onnx.checker.check_model(model)
    metadata.write(model, about(labels))
    return model


def tiny_segmenter(colours: int = 3) -> onnx.ModelProto:
    """Classifies each pixel by its strongest channel: blue, green or red. `colours` of them have a label."""
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("ArgMax", ["float"], ["strongest"], axis=3, keepdims=0),
        node("Cast", ["strongest"], ["classes"], to=TensorProto.UINT8),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])
    classes = helper.make_tensor_value_info("classes", TensorProto.UINT8, ["batch", "height", "width"])
    graph = helper.make_graph(nodes, "tiny", [images], [classes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    labels = ("blue", "green", "red")[:colours]
    metadata.write(model, Metadata("tiny", "segment", labels, IMGSZ, STRIDE, "stretch", "0" * 64, {}))
    return model


def tiny_masker(labels: Sequence[str] = LABELS) -> onnx.ModelProto:
    """The tiny detector with a mask for each box: its lower left half, the more certain the higher the score."""
    model = tiny_detector(labels)
    graph, node = model.graph, helper.make_node
    graph.initializer.append(numpy_helper.from_array(np.tri(8, dtype=np.float32), "corner"))
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "sides"))
    graph.node.append(node("ReduceMax", ["scores"], ["certain"], axes=[2], keepdims=1))
    graph.node.append(node("Unsqueeze", ["certain", "sides"], ["flat"]))
    graph.node.append(node("Squeeze", ["flat", "last"], ["each"]))
    graph.initializer.append(numpy_helper.from_array(np.array([4]), "last"))
    graph.node.append(node("Mul", ["each", "corner"], ["masks"]))
    graph.output.append(helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["batch", "N", 8, 8]))
    onnx.checker.check_model(model)
    metadata.write(model, replace(about(labels), task="instances"))
    return model


WORDS = ("<end>", "a", "blue", "green", "red", "picture")
ASKED = ("?", "what", "colour", "is", "it", "how", "many")
ANSWERS = ("blue", "green", "red", "two_cats")


def tiny_captioner(attention: bool = False) -> onnx.ModelProto:
    """Says "a blue picture" by the channel that is strongest in all, and "a picture" as its second best.

    With `attention`, it has looked at the upper left, upper right, and lower left quarter for its three words.
    """
    node = helper.make_node
    said = np.array([[[1, 2 + channel, 5, 0], [1, 5, 0, 0]] for channel in range(3)], np.int32)
    constants = {"said": said, "sides": np.array([1, 2]), "sure": np.array([[-0.5, -1.5]], np.float32)}
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float", "sides"], ["colours"], keepdims=0),
        node("ArgMax", ["colours"], ["strongest"], axis=1, keepdims=0),
        node("Gather", ["said", "strongest"], ["words"], axis=0),
        node("Shape", ["strongest"], ["count"]),
        node("ConstantOfShape", ["count"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        node("Unsqueeze", ["ones", "one"], ["column"]),
        node("Mul", ["column", "sure"], ["scores"]),
    ]
    constants["one"] = np.array([1])
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [tensor("images", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [tensor("words", TensorProto.INT32, ["batch", 2, 4]), tensor("scores", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    if attention:
        looked = np.eye(4, dtype=np.float32).reshape(1, 4, 2, 2)
        graph.initializer.append(numpy_helper.from_array(looked, "looked"))
        graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3]), "places"))
        graph.node.append(node("Unsqueeze", ["ones", "places"], ["each"]))
        graph.node.append(node("Mul", ["each", "looked"], ["attention"]))
        graph.output.append(tensor("attention", TensorProto.FLOAT, ["batch", 4, 2, 2]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    metadata.write(model, Metadata("tiny", "caption", WORDS, (64, 32), STRIDE, "stretch", "0" * 64, {}))
    return model


def tiny_vqa() -> onnx.ModelProto:
    """Answers with the colour that is strongest in a picture, 0.6, or, where the question has "many", with "two_cats".

    It looks at the upper left quarter for each word.
    """
    node = helper.make_node
    constants = {
        "axes": np.array([1, 2]),
        "axis": np.array([1]),
        "sides": np.array([2, 3]),
        "many": np.int32(ASKED.index("many")),
        "one": np.float32(1),
        "two": np.array([[0.1, 0.1, 0.1, 0.7]], np.float32),
        "table": np.array([[0.6, 0.3, 0.1, 0], [0.3, 0.6, 0.1, 0], [0.1, 0.3, 0.6, 0]], np.float32),
        "looked": np.eye(1, 4, dtype=np.float32).reshape(1, 1, 2, 2).repeat(LONGEST_QUESTION, 1),
    }
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float", "axes"], ["colours"], keepdims=0),
        node("ArgMax", ["colours"], ["strongest"], axis=1, keepdims=0),
        node("Gather", ["table", "strongest"], ["coloured"], axis=0),
        node("Equal", ["question", "many"], ["equal"]),
        node("Cast", ["equal"], ["equals"], to=TensorProto.FLOAT),
        node("ReduceMax", ["equals", "axis"], ["counts"], keepdims=1),
        node("Sub", ["one", "counts"], ["not"]),
        node("Mul", ["counts", "two"], ["counted"]),
        node("Mul", ["not", "coloured"], ["seen"]),
        node("Add", ["counted", "seen"], ["scores"]),
        node("Max", ["counts", "one"], ["ones"]),
        node("Unsqueeze", ["ones", "sides"], ["each"]),
        node("Mul", ["each", "looked"], ["attention"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            tensor("images", TensorProto.UINT8, ["batch", "height", "width", 3]),
            tensor("question", TensorProto.INT32, ["batch", LONGEST_QUESTION]),
        ],
        [
            tensor("scores", TensorProto.FLOAT, ["batch", len(ANSWERS)]),
            tensor("attention", TensorProto.FLOAT, ["batch", LONGEST_QUESTION, 2, 2]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    metadata.write(model, Metadata("tiny", "answer", ANSWERS, (64, 32), STRIDE, "stretch", "0" * 64, {}, words=ASKED))
    return model


def tiny_asker(words: int | str = 4, batch: int | str = "batch") -> onnx.ModelProto:
    """Answers a question of so many words about each picture by one number for each label: see `answered`.

    Its task is "ask", which tests add.
    """
    node = helper.make_node
    constants = {"unit": np.float32(1 / 255), "axes": np.array([1, 2]), "axis": np.array([1])}
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("ReduceSum", ["float", "axes"], ["colours"], keepdims=0),
        node("Mul", ["colours", "unit"], ["bright"]),
        node("ReduceSum", ["question", "axis"], ["asked"], keepdims=1),
        node("Cast", ["asked"], ["number"], to=TensorProto.FLOAT),
        node("Add", ["bright", "number"], ["answer"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            tensor("images", TensorProto.UINT8, [batch, "height", "width", 3]),
            tensor("question", TensorProto.INT64, [batch, words]),
        ],
        [tensor("answer", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata.write(model, Metadata("tiny", "ask", ("blue", "green", "red"), IMGSZ, STRIDE, "stretch", "0" * 64, {}))
    return model


def tiny_classifier(count: int) -> onnx.ModelProto:
    """Takes every one of `count` proposals for a person, with a score of 0.9."""
    node = helper.make_node
    constants = {"no": np.zeros((4, 3), np.float32), "yes": np.array([0.9, 0, 0], np.float32)}
    nodes = [
        node("Identity", ["proposals"], ["boxes"]),
        node("MatMul", ["proposals", "no"], ["nothing"]),
        node("Add", ["nothing", "yes"], ["scores"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            tensor("images", TensorProto.UINT8, ["batch", "height", "width", 3]),
            tensor("proposals", TensorProto.FLOAT, ["batch", count, 4]),
        ],
        [tensor(name, TensorProto.FLOAT, ["batch", count, last]) for name, last in (("boxes", 4), ("scores", 3))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata.write(model, replace(about(), task="regions"))
    return model


def answered(images: NDArray[np.uint8], question: NDArray[np.int64]) -> NDArray[np.float32]:
    """What `tiny_asker` must give: how much of each colour there is, and the sum of the words."""
    return (images.sum((1, 2)) / 255 + question.sum(1, keepdims=True)).astype(np.float32)


def expected(batch: NDArray[np.uint8], classes: int = len(LABELS)) -> dict[str, NDArray[np.float32]]:
    """The expected outputs of `tiny_detector` for a batch, computed by NumPy."""
    weight, bias = _weights(classes)
    b, h, w = batch.shape[0], batch.shape[1] // STRIDE, batch.shape[2] // STRIDE
    patches = (batch / 255.0).reshape(b, h, STRIDE, w, STRIDE, 3)
    raw = np.einsum("bhywxc,ocyx->bhwo", patches, weight.astype(np.float64)) + bias
    cell = np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1)  # (h, w, 2): column, row
    centre = (_sigmoid(raw[..., :2]) + cell) * STRIDE
    half = np.exp(raw[..., 2:4]) * STRIDE / 2
    boxes = np.concatenate([centre - half, centre + half], axis=-1).reshape(b, h * w, 4)
    return {
        "boxes": boxes.astype(np.float32),
        "scores": _sigmoid(raw[..., 4:]).reshape(b, h * w, classes).astype(np.float32),
    }


def pictures(count: int, width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """(count, height, width, 3) noise with one red and one blue cell in each, BGR."""
    batch = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    batch[:, :STRIDE, :STRIDE] = (0, 0, 255)
    batch[:, -STRIDE:, -STRIDE:] = (255, 0, 0)
    return batch


def save(model: onnx.ModelProto, folder: Path, name: str = "tiny.onnx") -> Path:
    """Write the model into the folder and return its path."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without metadata, like a third-party one."""
    del model.metadata_props[:]
    return model


def _weights(classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(4 + classes, 3, STRIDE, STRIDE) and (4 + classes,)."""
    weight = np.random.default_rng(7).normal(0, 0.02, (4 + classes, 3, STRIDE, STRIDE))
    bias = np.array([0.0] * 4 + [-10.0] * classes)
    for label, channel in zip(range(min(classes, 3)), (2, 1, 0), strict=False):  # red, green, blue in BGR
        weight[4 + label] = -10 / STRIDE**2
        weight[4 + label, channel] = 20 / STRIDE**2
    return weight.astype(np.float32), bias.astype(np.float32)


def _poisoned(
    name: str, nan: bool, fails: bool, constants: dict[str, NDArray[np.generic] | np.generic]
) -> list[onnx.NodeProto]:
    """Nodes from `plain_NAME` to the output NAME: nothing added, NaN for white, or an index past an array's end."""
    node = helper.make_node
    if nan:
        constants |= {"white": np.float32(255), "nan": np.float32("nan"), "zero": np.float32(0)}
        return [
            node("ReduceMin", ["float"], ["darkest"], keepdims=0),
            node("Equal", ["darkest", "white"], ["all_white"]),
            node("Where", ["all_white", "nan", "zero"], ["poison"]),
            node("Add", [f"plain_{name}", "poison"], [name]),
        ]
    if fails:
        constants |= {"black": np.float32(0), "one_zero": np.zeros(1, np.float32)}
        return [
            node("ReduceMax", ["float"], ["brightest"], keepdims=0),
            node("Equal", ["brightest", "black"], ["all_black"]),
            node("Cast", ["all_black"], ["position"], to=TensorProto.INT64),
            node("Gather", ["one_zero", "position"], ["poison"]),
            node("Add", [f"plain_{name}", "poison"], [name]),
        ]
    return [node("Identity", [f"plain_{name}"], [name])]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))
