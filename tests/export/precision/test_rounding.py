"""Numbers to INT8: steps that reach both ends and keep nought, weights by channel, the bias that makes good."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from reference import vpmaddubsw

from watchline.export.errors import ExportFailed, ExportRefused
from watchline.export.precision import sensitivity
from watchline.export.precision.ranges import Range, observe
from watchline.export.precision.rounding import of_range, of_weight


@pytest.mark.parametrize(
    ("low", "high", "symmetric", "step", "zero"),
    [
        (0.0, 255.0, False, 1, 0),
        (-1.0, 1.5, False, 2.5 / 255, 102),
        (-2.0, 1.0, True, 2 / 127, 0),
        (3.0, 5.0, False, 5 / 255, 0),  # nought must be told exactly: padding is made of it
        (-5.0, -3.0, False, 5 / 255, 255),
        (0.0, 0.0, False, 1, 0),
        (0.0, 1e-44, True, np.finfo(np.float32).tiny, 0),
    ],
)
def test_a_step_is_the_finest_for_a_range(low: float, high: float, symmetric: bool, step: float, zero: int) -> None:
    found = of_range(low, high, symmetric)
    assert found.step == pytest.approx(step)
    assert found.step.dtype == np.float32
    assert found.zero == zero
    assert found.zero.dtype == (np.int8 if symmetric else np.uint8)


def conv(weight: np.ndarray, bias: np.ndarray | None = None, groups: int = 1) -> tuple[onnx.NodeProto, dict]:
    constants = {"w": weight} | ({} if bias is None else {"b": bias})
    return helper.make_node("Conv", ["x", *constants], ["y"], group=groups), constants


def test_a_weight_has_a_step_for_each_output_channel() -> None:
    random = np.random.default_rng(0)
    weight = (random.normal(size=(5, 3, 2, 2)) * 10.0 ** np.arange(-2, 3)[:, None, None, None]).astype(np.float32)
    rounded = of_weight(*conv(weight), None)
    assert rounded.bias is None
    assert rounded.step == pytest.approx(np.abs(weight).reshape(5, -1).max(1) / 127)
    error = np.abs(rounded.numbers() - weight).reshape(5, -1).max(1)
    assert (error <= 0.501 * rounded.step).all()


@pytest.mark.parametrize(
    ("shape", "transposed"), [((5, 6, 3, 3), None), ((4, 2, 1, 1), None), ((6, 5), 0), ((5, 6), 1)]
)
def test_sums_of_neighbours_fit_16_bits(shape: tuple[int, ...], transposed: int | None) -> None:
    """With whatever input; and no step is coarser than that takes."""
    weight = np.random.default_rng(2).normal(0.05, 0.1, shape).astype(np.float32)
    node, constants = conv(weight)
    if transposed is not None:
        node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    rounded = of_weight(node, constants, None, in_pairs=True)
    whole = rounded.integers.astype(int)
    rows = np.moveaxis(whole, rounded.axis, 0)  # (outputs, inputs, …)
    random = np.random.default_rng(3)
    for row in rows.reshape(*rows.shape[:2], -1).transpose(0, 2, 1).reshape(-1, rows.shape[1]).tolist():
        for inputs in ([255] * len(row), [255 * (w > 0) for w in row], random.integers(0, 256, len(row)).tolist()):
            sums = [inputs[i] * row[i] + inputs[i + 1] * row[i + 1] for i in range(0, len(row), 2)]
            assert vpmaddubsw(inputs, row) == sums
    largest = np.abs(rows[:, ::2] + rows[:, 1::2]).reshape(len(rows), -1).max(1)
    assert ((np.abs(rows).reshape(len(rows), -1).max(1) == 127) | (largest >= 126)).all()
    error = np.moveaxis(np.abs(rounded.numbers() - weight), rounded.axis, 0).reshape(len(rows), -1).max(1)
    assert (error <= 0.501 * rounded.step).all()


def test_neighbours_that_cancel_out_cost_nothing() -> None:
    weight = np.array([0.5, -0.5, 0.25, -0.25], np.float32).reshape(1, 4, 1, 1)
    assert of_weight(*conv(weight), None, in_pairs=True).integers.ravel().tolist() == [127, -127, 64, -64]


def test_a_channel_of_noughts_stays() -> None:
    rounded = of_weight(*conv(np.zeros((2, 3, 1, 1), np.float32)), None)
    assert rounded.step.tolist() == [1, 1]
    assert not rounded.numbers().any()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_bias_takes_back_the_mean_error(groups: int) -> None:
    """With a picture that is its means everywhere, what comes out is as before, to the last digits."""
    random = np.random.default_rng(1)
    means = random.normal(size=4)
    weight = random.normal(size=(8, 4 // groups, 3, 3)).astype(np.float32)
    bias = random.normal(size=8).astype(np.float32)
    node, constants = conv(weight, bias, groups)
    rounded = of_weight(node, constants, means)

    def centre(weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
        by_group = weights.sum((2, 3)).reshape(groups, 8 // groups, -1) * means.reshape(groups, 1, -1)
        return by_group.sum(-1).ravel() + biases

    assert rounded.bias is not None
    assert centre(rounded.numbers(), rounded.bias) == pytest.approx(centre(weight, bias), abs=1e-5)
    assert (
        np.abs(centre(rounded.numbers(), bias) - centre(weight, bias)).max() > 1e-3
    )  # there is something to take back


def doubling(scale: float = 2.0) -> onnx.ModelProto:
    """A model that casts, transposes, and multiplies channels by `scale`."""
    weight = (np.eye(3) * scale).reshape(3, 3, 1, 1).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "doubling",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, [1, 2, 2, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_ranges_are_means_over_pictures_and_channels_have_theirs() -> None:
    pictures = [np.full((1, 2, 2, 3), 10, np.uint8), np.full((1, 2, 2, 3), 30, np.uint8)]
    pictures[1][0, 0, 0] = 0, 30, 60
    ranges, means = observe(doubling(), ["x", "y"], ["x"], pictures)
    assert ranges == {"x": Range(5, 35), "y": Range(10, 70)}
    assert means["x"] == pytest.approx([(10 + 22.5) / 2, (10 + 30) / 2, (10 + 37.5) / 2])


def test_no_pictures_and_numbers_that_are_none() -> None:
    with pytest.raises(ExportRefused, match="no pictures to calibrate on"):
        observe(doubling(), ["x"], [], [])
    with pytest.raises(ExportFailed, match="NaN or infinity in FP32 already, at y"):
        observe(doubling(3e38), ["y"], [], [np.full((1, 2, 2, 3), 255, np.uint8)])


def test_the_error_of_a_layer_is_what_rounding_changes_by_what_comes_out() -> None:
    """Steps of 4 where numbers are 0, 1, 2, … 11: the error is known."""
    model = doubling()
    [node] = [node for node in model.graph.node if node.op_type == "Conv"]
    weights = {"y": of_weight(node, {"w": numpy_helper.to_array(model.graph.initializer[0])}, None)}
    picture = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    errors = sensitivity.errors(model, [node], weights, {"x": of_range(0, 4 * 255, False)}, [picture])
    numbers = np.arange(12.0)
    expected = np.linalg.norm(numbers - np.round(numbers / 4) * 4) / np.linalg.norm(numbers)
    assert errors["y"] == pytest.approx(expected, rel=1e-4)
    assert sensitivity.hurt(model, [node], weights, {"x": of_range(0, 4 * 255, False)}, [picture]) == {"y"}
    assert not sensitivity.hurt(model, [node], weights, {"x": of_range(0, 255, False)}, [picture])
