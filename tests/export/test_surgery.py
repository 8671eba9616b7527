"""Nodes against what NumPy makes of the same expression."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from watchline.export.surgery import Graph, sort_nodes


def run(build, *arrays):
    """The expression's value in ONNX Runtime."""
    graph = Graph()
    names = [f"in_{i}" for i in range(len(arrays))]
    values = [graph.input(name, a.dtype, a.shape) for name, a in zip(names, arrays, strict=True)]
    result = build(graph, *values)
    graph.output("result", result, ("any",))
    model = graph.build()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, dict(zip(names, arrays, strict=True)))
    assert out.dtype == result.dtype
    return out


A = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
B = np.random.default_rng(1).normal(size=(5, 1)).astype(np.float32)


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("ours", "numpy"),
    [
        (lambda g, a, b: a + b, A + B),
        (lambda g, a, b: a - 2, A - 2),
        (lambda g, a, b: a * b * 0.5, A * B * 0.5),
        (lambda g, a, b: a / (b + 9.0), A / (B + 9)),
        (lambda g, a, b: a * np.arange(6), A * np.arange(6, dtype=np.float32)),
        (lambda g, a, b: a[..., :4], A[..., :4]),
        (lambda g, a, b: a[..., 4:5], A[..., 4:5]),
        (lambda g, a, b: a[..., -2:], A[..., -2:]),
        (lambda g, a, b: a[:, 1:3], A[:, 1:3]),
        (lambda g, a, b: a[1:, :, 2:], A[1:, :, 2:]),
        (lambda g, a, b: a[1], A[1]),
        (lambda g, a, b: a.reshape(0, -1), A.reshape(2, -1)),
        (lambda g, a, b: a.transpose(2, 0, 1), A.transpose(2, 0, 1)),
        (lambda g, a, b: a.take([2, 0], 1), A[:, [2, 0]]),
        (lambda g, a, b: a.exp(), np.exp(A)),
        (lambda g, a, b: a.softmax(), softmax(A)),
        (lambda g, a, b: a.sum(), A.sum(-1)),
        (lambda g, a, b: a.shape(1, 3), np.array([5, 6])),
        (lambda g, a, b: a.equals(a[..., :1]), (A[..., :1] == A).astype(np.float32)),
        (lambda g, a, b: a.cast(np.float16), A.astype(np.float16)),
        (lambda g, a, b: g.concat([a, a * b], axis=1), np.concatenate([A, A * B], axis=1)),
        (lambda g, a, b: g.arange(a.shape(1, 2)[0]), np.arange(5)),
        (lambda g, a, b: g.arange(a.shape(2, 3)[0]) // 4, np.arange(6) // 4),
        (lambda g, a, b: g.ones(a.shape(0, 2)), np.ones((2, 5), np.int64)),
    ],
)
def test_nodes_compute_what_numpy_does(ours, numpy):
    out = run(ours, A, B)
    assert out.shape == numpy.shape
    np.testing.assert_allclose(out, numpy, rtol=1e-5, atol=1e-6)


def with_branches():
    """If its input is above nought: twice the weight, else the input; the branches use tensors from outside."""
    value = helper.make_tensor_value_info
    then = helper.make_graph(
        [helper.make_node("Add", ["scores", "scores"], ["then_out"])],
        "then",
        [],
        [value("then_out", TensorProto.FLOAT, [1])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["else_out"])],
        "else",
        [],
        [value("else_out", TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Identity", ["chosen"], ["boxes"]),
        helper.make_node("If", ["above"], ["chosen"], then_branch=then, else_branch=other),
        helper.make_node("Greater", ["images", "nought"], ["above_row"]),
        helper.make_node("Squeeze", ["above_row"], ["above"]),
        helper.make_node("Add", ["weight", "weight"], ["scores"]),
    ]
    constants = [
        helper.make_tensor("weight", TensorProto.FLOAT, [1], [3.0]),
        helper.make_tensor("nought", TensorProto.FLOAT, [1], [0.0]),
    ]
    inputs, outputs = [value("images", TensorProto.FLOAT, [1])], [value("boxes", TensorProto.FLOAT, [1])]
    graph = helper.make_graph(nodes, "branches", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_inside_keeps_working_with_clashing_names_disorder_and_branches():
    model = with_branches()
    before = model.SerializeToString()
    sort_nodes(model.graph)
    onnx.checker.check_model(model)
    for given, expected in ((1.0, 12.0), (-1.0, -1.0)):
        graph = Graph()
        images = graph.input("images", np.float32, (1,))
        graph.output("boxes", graph.call(model, {"images": images})["boxes"], (1,))
        session = ort.InferenceSession(graph.build().SerializeToString(), providers=["CPUExecutionProvider"])
        (out,) = session.run(None, {"images": np.array([given], np.float32)})
        assert out.tolist() == [expected]
    assert before != model.SerializeToString()  # sorted, and else left as it was
    assert [node.op_type for node in model.graph.node] == ["Greater", "Squeeze", "Add", "If", "Identity"]


def test_a_circle_is_left_to_the_checker():
    model = with_branches()
    model.graph.node[2].input[1] = "chosen"
    sort_nodes(model.graph)
    assert len(model.graph.node) == 5
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
