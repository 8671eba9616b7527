"""A torch network as ONNX, by tracing one run of it.

torch has a newer exporter than the one by tracing; but that one names free sides "32*rows", which no runtime can fix by
name, and takes twenty times as long.
"""

import io
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

import onnx
import torch
from torch import nn

OPSET = 17

noted: ContextVar[list[nn.Module] | None] = ContextVar("noted", default=None)
"""Where networks are kept as they are traced, for those who ask what torch computes (see reference.py)."""


def trace(
    module: nn.Module,
    size: tuple[int, int],
    outputs: Mapping[str, Mapping[int, str]],
    free: bool,
    others: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> onnx.ModelProto:
    """The graph of a network from `images` (batch, height, width, 3) uint8 to named outputs.

    Args:
        module: takes the images and gives the outputs in order.
        size: (width, height) of the input.
        outputs: by name, which of their dimensions are free and what these are called, e.g. {"boxes": {0: "batch"}}.
        free: height and width are free as well; else they are fixed, and only the batch is free.
        others: shape of one row of each further input, float32, by name.
    """
    width, height = size
    sides = {1: "height", 2: "width"} if free else {}
    if (modules := noted.get()) is not None:
        modules.append(module)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)  # of padding; runtimes fold it
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, height, width, 3, dtype=torch.uint8), *(torch.zeros(1, *row) for row in others.values())),
            buffer,  # type: ignore[arg-type]  # taken when exporting by tracing
            input_names=["images", *others],
            output_names=list(outputs),
            dynamic_axes={
                "images": {0: "batch"} | sides,
                **{name: {0: "batch"} for name in others},
                **{name: dict(axes) for name, axes in outputs.items()},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(graph)
    return graph
