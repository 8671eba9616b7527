"""Which nodes count as layers of the network."""

import layered_nets
import numpy as np
import onnx
import pytest
from layered_nets import Net, build
from onnx import TensorProto, helper

from watchline.engines import zoo
from watchline.export.errors import ExportRefused
from watchline.export.precision import layers
from watchline.export.surgery import Value


def kinds(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Operators of the weighted layers, and of what lies between."""
    graph = layers.prepared(model).graph
    found = layers.find(graph)
    weighted = [node.op_type for node in graph.node if node.output[0] in found.weighted]
    return weighted, [node.op_type for node in graph.node if node.output[0] in found.between]


def two_stages(net: Net, x: Value) -> Value:
    """A second convolution that looks where the first says: what says where is no layer, what is looked at is."""
    features = net.add("Relu", net.conv(x, 8, 16))
    where = net.add("Tanh", net.conv(x, 8, 2)).transpose(0, 2, 3, 1)
    seen = net.add("GridSample", features, where, align_corners=0, mode="bilinear", padding_mode="zeros")
    return net.add("Relu", seen)


def histogram(net: Net, x: Value) -> Value:
    """The mean of a distribution, written as a convolution of 8 numbers."""
    likely = net.add("Softmax", net.conv(x, 8, 8), axis=1)
    mean = net.add("Conv", likely, np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1))
    return net.concat([mean] * 16, 1)


@pytest.mark.parametrize(
    ("body", "weighted", "between"),
    [
        (lambda net, x: net.add("Relu", net.conv(x, 8, 16)), ["Conv"] * 3, ["Relu"]),
        (lambda net, x: net.conv(x, 8, 16).exp(), ["Conv"] * 3, []),  # e to a number bears no coarse steps
        (two_stages, ["Conv"] * 4, []),  # the layers lead into GridSample, and not straight into one another
        (histogram, ["Conv"] * 3, ["Concat"]),
    ],
    ids=["plain", "exponential", "two stages", "histogram"],
)
def test_layers_and_what_lies_between(body: layered_nets.Body, weighted: list[str], between: list[str]) -> None:
    expected = between if body is not histogram else []
    assert kinds(build(body)) == (weighted, expected)


def test_of_the_shipped_model_everything_from_the_first_to_the_last_convolution() -> None:
    weighted, between = kinds(onnx.load(zoo.find(zoo.DEFAULT)))
    assert weighted == ["Conv"] * 58
    assert between.count("Clip") == 41  # one of 42 is the decoding's
    assert not {"Exp", "Softmax", "Sigmoid", "Sub", "Div", "Cast"} & set(between)


def test_constants_become_initializers_in_the_type_they_are_used_in() -> None:
    model = onnx.load(zoo.find(zoo.DEFAULT))
    before = model.SerializeToString()
    graph = layers.prepared(model).graph
    assert model.SerializeToString() == before
    assert "Constant" not in {node.op_type for node in graph.node}
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in graph.initializer}
    names = {tensor.name for tensor in graph.initializer}
    assert all(node.input[1] in names for node in graph.node if node.op_type == "Conv")


def test_a_weight_by_a_second_name_is_a_weight() -> None:
    model = build(lambda net, x: net.conv(x, 8, 16))
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    model.graph.node.insert(0, helper.make_node("Identity", [conv.input[1]], ["twin"]))
    conv.input[1] = "twin"
    assert kinds(model)[0] == ["Conv"] * 3


def test_what_cannot_be_is_refused() -> None:
    empty = helper.make_model(helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "no layers", [], []))
    with pytest.raises(ExportRefused, match="no convolution or matrix product"):
        layers.find(empty.graph)
    branch = helper.make_graph([], "branch", [], [])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(ExportRefused, match=r"has If nodes.*--precision fp32"):
        layers.prepared(helper.make_model(helper.make_graph([choice], "choice", [], [])))
