"""Where two runs of a network part: the first tensor inside that differs by more than rounding.

Tensors are compared by their names, which survive a change of precision or of runtime, in the order of computation.
The measure is the length of the difference by the length of the tensor (L2): a layer whose scale is wrong by 1 %
differs by 0.01, whatever its numbers are. Behind a TopK whole rows may change places without harm; what is named there
may be innocent, what is named before it is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

# Measured, in the worst layers: FP32 2e-6 between runtimes; FP16 0.01 on our detector and 0.02 on YOLOX-nano; INT8 0.5.
LIMITS = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.6}
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Look:
    """What a look inside has shown.

    Attributes:
        compared: tensors that both runs have, up to the one that is named.
        limit: difference up to which a tensor counts as the same.
        tensor: the first that differs by more; None if none does.
        node: operator and name of what computes it, e.g. "Conv /stem/Conv".
        difference: of that tensor; else the largest of all.
    """

    compared: int
    limit: float
    tensor: str | None
    node: str | None
    difference: float

    @property
    def text(self) -> str:
        """In a line."""
        if not self.compared:
            return "no tensor inside has a name that both have: nothing to compare"
        if self.tensor is None:
            return (
                f"none of {self.compared} layers differs by more than {self.limit:g} (at most {self.difference:.2g}) "
                "when each is computed by itself: look at the decoding, or at what the runtime computes as one"
            )
        return f"first layer that diverges: {self.node}, tensor {self.tensor}, by {self.difference:.2g} of its length"


def first_divergence(
    one: Mapping[str, NDArray[Any]], other: Iterable[tuple[str, NDArray[Any]]], limit: float, graph: onnx.GraphProto
) -> Look:
    """Compare tensors of the same names until one differs.

    Args:
        one: tensors by name.
        other: tensors of the run that is in doubt, in the order of computation; taken no further than needed.
        limit: relative difference from which a tensor is another one.
        graph: that `other` computes, to say what computes a tensor.
    """
    makers = {name: f"{node.op_type} {node.name}".strip() for node in graph.node for name in node.output}
    compared, largest = 0, 0.0
    for name, values in other:
        expected = one.get(name)
        if expected is None or expected.dtype.kind != "f" or values.dtype.kind != "f":
            continue
        compared += 1
        difference = relative(expected, values)
        if difference > limit:
            return Look(compared, limit, name, makers.get(name, "the graph"), difference)
        largest = max(largest, difference)
    return Look(compared, limit, None, None, largest)


def relative(one: NDArray[Any], other: NDArray[Any]) -> float:
    """|one - other| / |one|; infinite where the shapes differ or a number is none."""
    if one.shape != other.shape:
        return float("inf")
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    value = float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), TINY)
    return value if np.isfinite(value) else float("inf")
