"""Changes to an ONNX graph before TensorRT parses it."""

import onnx
from onnx import TensorProto, helper

from watchline.engines.tasks import IMAGES

INPUT = IMAGES.name


def sized(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """Fix the height and width of the model's input, so that the builder folds everything that depends on them."""
    width, height = size
    shape = next(value for value in model.graph.input if value.name == INPUT).type.tensor_type.shape
    names = {shape.dim[1].dim_param: height, shape.dim[2].dim_param: width}
    shape.dim[1].dim_value, shape.dim[2].dim_value = height, width
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names and dim.dim_param:
                dim.dim_value = names[dim.dim_param]
    del model.graph.value_info[:]  # shape hints of exporters, which may still name the free sides
    return model


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Insert a cast of the model's input before all other nodes, because TensorRT only casts uint8."""
    graph = model.graph
    users = [node for node in graph.node if INPUT in node.input]
    if any(node.op_type != "Cast" for node in users):
        name = f"{INPUT} as float"
        for node in users:
            node.input[:] = [name if given == INPUT else given for given in node.input]
        graph.node.insert(0, helper.make_node("Cast", [INPUT], [name], to=TensorProto.FLOAT))
    return model
