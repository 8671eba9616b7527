"""The first layer that diverges: found by its name, in the order of computation, and no further than needed."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from watchline.measure.layers import first_divergence, relative

X = np.linspace(1, 2, 12, dtype=np.float32).reshape(3, 4)


def graph(*names: str):
    nodes = [helper.make_node("Relu", ["x"], [name], name=f"make_{name}") for name in names]
    return helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, None)])


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        (X, 0),
        (X * 1.01, 0.01),
        (-X, 2),
        (X.astype(np.float16), 0),
        (X[:2], np.inf),
        (X * np.nan, np.inf),
        (np.where(X == 1, np.inf, X), np.inf),
    ],
)
def test_relative_difference(other: np.ndarray, apart: float) -> None:
    assert relative(X, other) == pytest.approx(apart, rel=1e-3, abs=5e-4)


def test_of_nothing_there_is_no_difference() -> None:
    assert relative(np.zeros(3), np.zeros(3)) == 0
    assert relative(np.zeros((0, 4)), np.zeros((0, 4))) == 0
    assert relative(np.zeros(3), np.ones(3)) > 1


def test_the_first_is_named() -> None:
    one = {"a": X, "b": X, "c": X}
    look = first_divergence(one, [("a", X), ("b", X * 1.01), ("c", X * 2)], 1e-3, graph("a", "b", "c"))
    assert (look.tensor, look.node, look.compared) == ("b", "Relu make_b", 2)
    assert look.difference == pytest.approx(0.01, rel=1e-3)
    assert look.text == "first layer that diverges: Relu make_b, tensor b, by 0.01 of its length"


def test_it_looks_no_further() -> None:
    def tensors():
        yield "a", X * 2
        raise AssertionError("nobody needs the next one")

    assert first_divergence({"a": X}, tensors(), 1e-3, graph("a")).tensor == "a"


def test_only_numbers_of_the_same_name_are_compared() -> None:
    one = {"a": X, "shape": np.array([1]), "mine": X}
    other = [("a", X * 1.0001), ("shape", np.array([2])), ("theirs", X)]
    look = first_divergence(one, other, 1e-3, graph("a"))
    assert (look.tensor, look.compared) == (None, 1)
    assert look.difference == pytest.approx(1e-4, rel=1e-2)
    assert "none of 1 layers differs by more than 0.001 (at most 0.0001)" in look.text


def test_without_a_name_in_common_it_says_so() -> None:
    assert "nothing to compare" in first_divergence({"a": X}, [("b", X)], 1e-3, graph("a")).text
