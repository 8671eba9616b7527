"""Our detector in the form that most tutorials expect: float RGB planes in 0..1, one output of centres and scores."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from watchline.engines.engine import Metadata


def adapt(model: Path, about: Metadata, imgsz: int, path: Path) -> Path:
    """Write our ONNX file in that form, which is Ultralytics', to `path`.

    `images` (1, 3, imgsz, imgsz) float32 RGB in 0..1; `output0` (1, 4 + C, N) float32: centre x, centre y, width,
    height in pixels of the input, then the scores.
    """
    proto = onnx.load(model)
    graph = proto.graph
    for node in graph.node:
        node.input[:] = ["pixels" if name == "images" else name for name in node.input]
    # Corners to centre and sides is one product: (N, 4) x1 y1 x2 y2 times this.
    centres = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
    for name, value in {
        "versus.255": np.float32(255),
        "versus.bgr": np.array([2, 1, 0], np.int64),
        "versus.centres": centres,
    }.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    front = [
        helper.make_node("Gather", ["images", "versus.bgr"], ["versus.a"], axis=1),
        helper.make_node("Transpose", ["versus.a"], ["versus.b"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["versus.b", "versus.255"], ["versus.c"]),
        helper.make_node("Round", ["versus.c"], ["versus.d"]),
        helper.make_node("Cast", ["versus.d"], ["pixels"], to=TensorProto.UINT8),
    ]
    back = [
        helper.make_node("MatMul", ["boxes", "versus.centres"], ["versus.e"]),
        helper.make_node("Concat", ["versus.e", "scores"], ["versus.f"], axis=2),
        helper.make_node("Transpose", ["versus.f"], ["output0"], perm=[0, 2, 1]),
    ]
    nodes = [*front, *graph.node, *back]
    for field in (graph.node, graph.input, graph.output, graph.value_info, proto.metadata_props):
        del field[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, imgsz, imgsz]))
    graph.output.append(helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + len(about.labels), None]))
    names = dict(enumerate(about.labels))
    properties = {"task": "detect", "stride": about.stride, "batch": 1, "imgsz": [imgsz, imgsz], "names": names}
    path.parent.mkdir(parents=True, exist_ok=True)
    folded = _folded(proto.SerializeToString(), path)
    helper.set_model_props(folded, {key: str(value) for key, value in properties.items()})
    onnx.save(folded, path)
    return path


def _folded(model: bytes, path: Path) -> onnx.ModelProto:
    """The model without what only computes shapes, which OpenCV cannot. Its operators stay standard ones."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return onnx.load(path)
