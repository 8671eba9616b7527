"""What makes an exported network small and computes the same: folded normalisation and colours, weights in FP16."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

HALF_FROM = 64  # numbers in a weight from which it is stored as FP16


def fuse(module: nn.Module) -> None:
    """Batch normalisation folded into the convolution before it, in every Sequential of the tree."""
    for child in module.children():
        fuse(child)
    if isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            a, b = module[i], module[i + 1]
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d):
                module[i], module[i + 1] = fuse_conv_bn_eval(a, b), nn.Identity()


def take_bgr(first: nn.Module, scale: float) -> None:
    """Let a network's first convolution, of RGB divided by `scale`, take BGR as it is."""
    assert isinstance(first, nn.Conv2d), "a network begins with a convolution"
    first.weight.data = first.weight.data[:, [2, 1, 0]] / scale


def halve(model: onnx.ModelProto) -> None:
    """Store float weights as FP16 and cast them back in the graph: half the file, the same FP32 arithmetic."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= HALF_FROM:
            name, values = weight.name, numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
