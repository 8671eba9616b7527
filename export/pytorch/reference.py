"""What torch itself computes for a checkpoint, to hold against what became of it.

with traced() as modules:
    model = to_onnx(paths, request)
outputs = run(modules[-1], model, batch)
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.export.pytorch.trace import noted


@contextmanager
def traced() -> Iterator[list[nn.Module]]:
    """The networks that are traced until the context is left, each with its pre-processing and its decoding."""
    modules: list[nn.Module] = []
    token = noted.set(modules)
    try:
        yield modules
    finally:
        noted.reset(token)


def run(module: nn.Module, model: onnx.ModelProto, batch: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The outputs by the names that they have in the model; batch (B, H, W, 3) uint8 BGR, as the network takes it."""
    with torch.inference_mode():
        outputs = module(torch.from_numpy(np.ascontiguousarray(batch)))
    return {value.name: output.numpy() for value, output in zip(model.graph.output, outputs, strict=True)}


def inside(module: nn.Module, model: onnx.ModelProto, batch: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[Any]]]:
    """What each layer gives, by the name of the tensor that holds it in the model; layers used twice are left out."""
    layers = {name: layer for name, layer in module.named_modules() if not list(layer.children())}
    seen: dict[str, NDArray[Any]] = {}
    calls: Counter[str] = Counter()

    def keep(name: str, output: object) -> None:
        calls[name] += 1
        if isinstance(output, Tensor):
            seen[name] = output.numpy().copy()  # the next layer may write over it

    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: keep(name, output))
        for name, layer in layers.items()
    ]
    try:
        run(module, model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    tensors = {_layer(node.name): node.output[0] for node in model.graph.node}  # of a layer's nodes, the last
    yield from ((tensors[name], seen[name]) for name in seen if calls[name] == 1 and name in tensors)


def _layer(node: str) -> str:
    """The layer that a node was traced in: `/net/blocks.3/project/project.0/Conv` is of `net.blocks.3.project.0`."""
    path: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()  # a Sequential, whose name its layers repeat
        path.append(part)
    return ".".join(path)
