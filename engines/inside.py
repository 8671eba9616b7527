"""What is computed inside a model: its tensors by name, from the runtime that runs it.

    for name, values in inside(onnx.load("model.onnx"), "onnxruntime", batch):
        ...

Tensors that are asked for are kept apart, so nodes that a runtime would melt into one are computed one by one here. The
model runs several times, some tensors at a time: all of them at once would fill the memory.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import runtimes
from watchline.engines.checked import CheckedEngine
from watchline.engines.errors import RequestRefused

AT_ONCE = 32  # tensors that one run gives


def inside(
    model: onnx.ModelProto, runtime: str, batch: NDArray[np.uint8], names: list[str] | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Tensors of a model in the order in which they are computed.

    Args:
        model: under the contract of engines.
        runtime: the name of one that shows it.
        batch: (B, H, W, 3) uint8 BGR, as the model takes it.
        names: of the tensors; None for all that depend on the picture.

    Raises:
        RequestRefused: the runtime does not let one look inside, or the batch does not fit.
        ModelRefused, InferenceFailed: the runtime does not take the model or does not run it.
    """
    names = of_the_picture(model.graph) if names is None else names
    with TemporaryDirectory(prefix="watchline-inside-") as folder:
        path = Path(folder) / "model.onnx"
        for start in range(0, len(names), AT_ONCE):
            some = tuple(names[start : start + AT_ONCE])
            _save(model, some, path)
            with _engine(path, runtime, (batch.shape[2], batch.shape[1])) as engine:
                outputs = engine.tensors(batch, some)
            yield from ((name, outputs[name]) for name in some)


def of_the_picture(graph: onnx.GraphProto) -> list[str]:
    """Names of the tensors that the input `images` has a part in, in the order in which they are computed.

    Those of shapes are among them; the weights are not.
    """
    known = {"images"}
    names = []
    for node in graph.node:
        if known.intersection(node.input):
            mine = [name for name in node.output if name]
            known.update(mine)
            names += mine
    return names


def _engine(path: Path, runtime: str, size: tuple[int, int]) -> CheckedEngine:
    known = runtimes.find(runtime)
    if not known.inside:
        able = runtimes.listed(tuple(runtime.name for runtime in runtimes.RUNTIMES if runtime.inside))
        raise RequestRefused(f"{runtime} does not show what is inside a model; expected {able}")
    engine = known.module().load(path, size, threads=1, batch=1)
    assert isinstance(engine, CheckedEngine), f"{runtime} says that it shows what is inside"
    return engine


def _save(model: onnx.ModelProto, names: tuple[str, ...], path: Path) -> None:
    """The model with more outputs. The weights are shared with the original while it is written."""
    there = {value.name for value in model.graph.output}
    added = [name for name in names if name not in there]
    try:
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
        onnx.save(model, path)
    finally:
        del model.graph.output[len(there) :]
