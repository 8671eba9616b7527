import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from watchline.export.precision.merged import merge


def test_equal_constants_become_one_and_the_numbers_stay():
    node, tensor = helper.make_node, helper.make_tensor_value_info
    two = np.full((1, 3), 2, np.float32)
    constants = {"a": two, "b": two.copy(), "c": two.reshape(3), "d": two.astype(np.int32), "out2": two.copy()}
    nodes = [
        node("Mul", ["x", "a"], ["y"]),
        node("Mul", ["y", "b"], ["z"]),
        node("Add", ["z", "c"], ["w"]),
        node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        node("Add", ["w", "e"], ["out"]),
    ]
    outputs = [tensor("out", TensorProto.FLOAT, [1, 3]), tensor("out2", TensorProto.FLOAT, [1, 3])]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [tensor("x", TensorProto.FLOAT, [1, 3])], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"x": np.arange(3, dtype=np.float32)[None]}
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    merge(model)
    onnx.checker.check_model(model)
    assert [constant.name for constant in model.graph.initializer] == ["a", "c", "d", "out2"]
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
