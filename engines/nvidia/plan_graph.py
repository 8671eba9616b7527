"""What is done to an ONNX graph before TensorRT sees it."""

import onnx
from onnx import TensorProto, helper

INPUT = "images"


def sized(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """The model with the height and width of its input fixed, so that the builder folds what depends on them."""
    width, height = size
    shape = next(value for value in model.graph.input if value.name == INPUT).type.tensor_type.shape
    names = {shape.dim[1].dim_param: height, shape.dim[2].dim_param: width}
    shape.dim[1].dim_value, shape.dim[2].dim_value = height, width
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names and dim.dim_param:
                dim.dim_value = names[dim.dim_param]
    del model.graph.value_info[:]  # hints of exporters, which may still name the free sides
    return model


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a cast of its input before everything else: TensorRT does nothing with uint8 but cast it."""
    graph = model.graph
    users = [node for node in graph.node if INPUT in node.input]
    if any(node.op_type != "Cast" for node in users):
        name = f"{INPUT} as float"
        for node in users:
            node.input[:] = [name if given == INPUT else given for given in node.input]
        graph.node.insert(0, helper.make_node("Cast", [INPUT], [name], to=TensorProto.FLOAT))
    return model
