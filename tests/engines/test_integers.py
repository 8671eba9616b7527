"""INT8 on CPUs where sums of products saturate: what a model needs, what a runtime gives, and what is done about it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import layered_nets
import numpy as np
import onnx
import other_cpu
import pytest
from layered_nets import Net, build
from onnx import TensorProto, helper, numpy_helper
from reference import vpmaddubsw

from watchline import engines
from watchline.engines import integers, onnx_runtime, open_vino
from watchline.engines.errors import ModelRefused
from watchline.engines.integers import AS_FLOATS, WIDEST, Sums, largest_sum
from watchline.export.precision import rounding
from watchline.export.precision.int8 import quantise
from watchline.export.surgery import Value

UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8
SATURATE = "saturate at 16 bits"
BATCH = np.concatenate(layered_nets.pictures(3))


def one_sign(net: Net, x: Value) -> Value:
    """A layer whose products all have one sign, and so reach far when they are summed up."""
    bright = net.add("Sigmoid", x + 2)
    return net.conv(bright, 8, 16) * 0.1 + net.add(
        "Conv", bright, np.full((16, 8, 3, 3), 0.02, np.float32), pads=[1] * 4
    )


@pytest.fixture(scope="module")
def older() -> onnx.ModelProto:
    """INT8 as it was made when nothing was known of CPUs without VNNI: weights of eight bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "PAIR", 10**6)
        return quantise(build(one_sign), layered_nets.pictures(8), "openvino")


@dataclass(frozen=True)
class There:
    """What a runtime without VNNI gave for models, which are named."""

    target: str
    models: dict[str, Path]
    inferred: other_cpu.Inferred

    def runtime(self, name: str) -> str:
        return self.inferred.runtimes[self.models[name]]

    def scores(self, name: str) -> np.ndarray:
        return self.inferred.outputs[self.models[name]]["scores"]


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def there(request: pytest.FixtureRequest, older: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> There:
    """All models of this file on a CPU without VNNI."""
    folder, target = tmp_path_factory.mktemp("there"), request.param
    made = {"older": older} | {body.__name__: between(body) for body in (trained_so, turned)}
    for body in (one_sign, every_kind):
        made[body.__name__] = quantise(build(body), layered_nets.pictures(8), target)
    models = {name: folder / f"{name}.onnx" for name in made}
    for name, model in made.items():
        onnx.save(model, models[name])
    return There(target, models, other_cpu.infer(target, list(models.values()), BATCH, folder))


def test_weights_of_all_integer_layers_are_looked_at(older: onnx.ModelProto) -> None:
    assert integers.sums(build(one_sign).graph) == frozenset()
    assert integers.sums(older.graph) == {Sums(UINT8, INT8, 254)}
    fits = quantise(build(one_sign), layered_nets.pictures(8), "onnxruntime")
    [kind] = integers.sums(fits.graph)
    assert 120 <= kind.largest <= 128
    for_gpus = quantise(build(one_sign), layered_nets.pictures(8), "tensorrt")
    assert integers.sums(for_gpus.graph) == {Sums(INT8, INT8, 254)}


def layer(kind: str, weight: np.ndarray, zero: int | None = None, **attributes: int) -> onnx.GraphProto:
    """One layer in the operators that have integers of their own, with or without zeros."""
    constants = {"w": weight, "xz": np.uint8(3), "s": np.float32(1)}
    constants |= {} if zero is None else {"wz": np.asarray(zero, weight.dtype)}
    inputs = {
        "QLinearConv": ["x", "s", "xz", "w", "s", "wz", "s", "xz"],
        "QLinearMatMul": ["x", "s", "xz", "w", "s", "wz", "s", "xz"],
        "QGemm": ["x", "s", "xz", "w", "s", "wz", "", "s", "xz"],
        "ConvInteger": ["x", "w", *(["xz", "wz"] if zero is not None else [])],
        "MatMulInteger": ["x", "w", *(["xz", "wz"] if zero is not None else [])],
    }[kind]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph([helper.make_node(kind, inputs, ["y"], **attributes)], "one", [], [], stored)


@pytest.mark.parametrize(
    ("graph", "largest"),
    [
        (layer("QLinearConv", np.full((4, 2, 1, 1), 70, np.int8), 0), 140),
        (layer("QLinearMatMul", np.array([[70, 1], [-71, 3]], np.int8), 0), 4),
        (layer("QGemm", np.array([[70, 1], [-71, 3]], np.int8), 0, transB=1), 71),
        (layer("ConvInteger", np.full((4, 3, 1, 1), -50, np.int8)), 100),  # three channels: any two may be neighbours
        (layer("MatMulInteger", np.array([[9], [9], [100], [-128]], np.int8), 0), 28),
        (layer("MatMulInteger", np.array([[-128], [-128]], np.int8), 0), 254),
        (layer("MatMulInteger", np.array([[3], [3]], np.uint8), 0), 254),  # which kernels treat in ways of their own
    ],
)
def test_operators_with_integers_of_their_own_count(graph: onnx.GraphProto, largest: int) -> None:
    [kind] = integers.sums(graph)
    assert kind.largest == largest
    assert not integers.can_be_floats(graph)


@pytest.mark.parametrize("weight", [np.full((4, 1, 3, 3), 127, np.int8), np.zeros((4, 2, 3, 3), np.int8)])
def test_what_is_not_summed_up_does_not_count(weight: np.ndarray) -> None:
    """Depthwise layers, which both runtimes sum up in 32 bits, as tests below see; and nothing."""
    assert integers.sums(layer("QLinearConv", weight, 0, group=4 // weight.shape[1])) == frozenset()


@pytest.mark.parametrize("groups", [1, 2])
def test_several_outputs_a_channel_are_not_depthwise(groups: int) -> None:
    """Then taps of the kernel are neighbours: seen to saturate in both runtimes."""
    weight = np.full((4, 1, 3, 3), 80, np.int8)
    assert integers.sums(layer("QLinearConv", weight, 0, group=groups)) == {Sums(UINT8, INT8, 160)}


def between(body: layered_nets.Body) -> onnx.ModelProto:
    """A net in FP32 with a body that has Q/DQ nodes of its own."""
    return build(lambda net, x: body(net, rounded(net, net.conv(net.add("Sigmoid", x + 2), 8, 16))))


def steps(step: float, dtype: type = np.int8) -> tuple[np.ndarray, np.ndarray]:
    """Step and zero, as Q and DQ nodes take them."""
    return np.asarray(step, np.float32), np.asarray(0, dtype)


def rounded(net: Net, x: Value) -> Value:
    """Through uint8."""
    parts = steps(1 / 50, np.uint8)
    return net.add("DequantizeLinear", net.add("QuantizeLinear", x, *parts), *parts)


def trained_so(net: Net, x: Value) -> Value:
    """A float weight behind Q and DQ, as training with rounding leaves it."""
    parts = steps(0.02 / 127)
    weight = net.add("QuantizeLinear", np.full((16, 16, 3, 3), 0.02, np.float32), *parts)
    return rounded(net, net.add("Conv", x, net.add("DequantizeLinear", weight, *parts), pads=[1, 1, 1, 1]))


def turned(net: Net, x: Value) -> Value:
    """A matrix that is transposed after it was dequantised."""
    weight = net.add("DequantizeLinear", np.full((16, 16), 127, np.int8), *steps(0.1 / 127))
    pixels = x.transpose(0, 2, 3, 1)
    return rounded(net, net.add("MatMul", pixels, weight.transpose(1, 0))).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", ["trained_so", "turned"])
def test_weights_in_other_forms_are_right_without_vnni(there: There, name: str) -> None:
    with engines.load(there.models[name], "onnxruntime") as engine:
        here = engine.infer(BATCH)
    assert there.runtime(name).endswith(AS_FLOATS)
    assert np.abs(there.scores(name) - here["scores"]).max() < 0.02


def weight_only(net: Net, x: Value) -> Value:
    weight = net.add("DequantizeLinear", np.full((16, 8, 1, 1), 127, np.int8), *steps(0.01))
    return net.add("Conv", x, weight)


def two_pictures(net: Net, x: Value) -> Value:
    """A product of two activations, of which one is rounded and the other one of a node's several outputs."""
    half = net.add("Split", net.conv(x, 8, 32), np.asarray([16, 16]), axis=1)
    return rounded(net, net.add("MatMul", rounded(net, net.conv(x, 8, 16)), half)) * 0.01


def test_products_of_two_activations_are_taken_for_what_they_are(tmp_path: Path) -> None:
    model = build(two_pictures)
    next(node for node in model.graph.node if node.op_type == "Split").output.append("other half")
    onnx.save(model, tmp_path / "m.onnx")
    assert integers.sums(model.graph) == frozenset()
    with engines.load(tmp_path / "m.onnx", "openvino") as engine:
        assert engine.infer(np.concatenate(layered_nets.pictures(2)))["scores"].shape == (2, 64, 3)


def test_weights_alone_saturate_nothing(tmp_path: Path) -> None:
    model = build(weight_only)
    assert integers.sums(model.graph) == frozenset()
    onnx.save(model, tmp_path / "m.onnx")
    assert open_vino._sums(open_vino.openvino.Core().read_model(str(tmp_path / "m.onnx"))) == frozenset()


def test_only_neighbours_are_summed_up() -> None:
    weight = np.array([[1, 2, 100, -60], [-70, -50, 90, 3]])
    assert largest_sum(weight, 1) == 120
    assert largest_sum(weight.T, 0) == 120
    assert largest_sum(weight[:, :3], 1) == 200


def computed(pairs: Sequence[int]) -> integers.Run:
    """A runtime that adds up 16 channels in pairs, in an order, as `vpmaddubsw` does."""

    def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        whole = np.round(x[0, :, 0, 0] / constants["x/step"]).astype(int)[list(pairs)]
        rows = constants["w"][:, list(pairs), 0, 0].astype(int)
        sums = np.array([sum(vpmaddubsw(whole.tolist(), row.tolist())) for row in rows])
        scale = constants["x/step"] * constants["w/step"] / constants["y/step"]
        return np.round(sums * scale)[None, :, None, None] * constants["y/step"]

    return run


def test_the_probe_sees_what_is_cut_off() -> None:
    neighbours, others = range(16), [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15]
    crossed = [0, 3, 1, 2, 4, 7, 5, 6, 8, 11, 9, 10, 12, 15, 13, 14]
    for largest in (1, 64, 127, 128):
        assert integers.is_exact(Sums(UINT8, INT8, largest), computed(neighbours))
    for largest in (129, 150, 254):
        assert not integers.is_exact(Sums(UINT8, INT8, largest), computed(neighbours))
    for order in (others, crossed):  # a kernel with other neighbours than ours
        assert not integers.is_exact(Sums(UINT8, INT8, 128), computed(order))


@pytest.mark.parametrize("runtime", [onnx_runtime, open_vino])
@pytest.mark.parametrize("activation", [UINT8, INT8])
def test_what_is_exported_is_exact_on_this_cpu(runtime: object, activation: int) -> None:
    assert runtime.is_exact(Sums(activation, INT8, 128))  # type: ignore[attr-defined]


def test_an_older_model_is_right_without_vnni_and_said_to_be_slow(there: There, tmp_path: Path) -> None:
    """Seen without the probe: scores off by 0.2 and more."""
    onnx.save(build(one_sign), tmp_path / "full.onnx")
    with engines.load(tmp_path / "full.onnx") as engine:
        full = engine.infer(BATCH)
    assert SATURATE in there.inferred.products
    assert there.runtime("older").endswith(f", {AS_FLOATS}")
    assert np.abs(there.scores("older") - full["scores"]).max() < 0.03
    [line] = [line for line in there.inferred.warnings if "older.onnx" in line]
    assert "older.onnx: its INT8 weights would saturate in" in line
    assert "export it again" in line


@pytest.mark.parametrize("name", ["one_sign", "every_kind"])
def test_what_is_exported_is_computed_in_int8_without_vnni(there: There, name: str) -> None:
    """The same numbers on either kind of CPU."""
    assert SATURATE in there.inferred.products
    assert not [line for line in there.inferred.warnings if f"{name}.onnx" in line]
    assert AS_FLOATS not in there.runtime(name)
    with engines.load(there.models[name], there.target) as engine:
        here = engine.infer(BATCH)
    assert np.abs(there.scores(name) - here["scores"]).max() < 0.01


def test_nothing_else_is_said_without_vnni(there: There) -> None:
    told = [line.partition(".onnx: its INT8 weights")[0].rpartition("/")[2] for line in there.inferred.warnings]
    assert sorted(told) == ["older", "trained_so", "turned"]


def every_kind(net: Net, x: Value) -> Value:
    """1 x 1, 3 x 3, in groups, depthwise, two outputs a channel, a matrix product, with weights of one sign."""
    x = net.conv(net.add("Sigmoid", x), 8, 16)
    for shape, groups in (((16, 16, 1, 1), 1), ((16, 4, 3, 3), 4), ((16, 1, 3, 3), 16), ((32, 1, 3, 3), 16)):
        x = net.add("Relu", x)
        x = net.add("Conv", x, np.abs(net.numbers(*shape)), pads=[shape[-1] // 2] * 4, group=groups) * 0.5
    mean = net.add("GlobalAveragePool", net.add("Relu", x)).reshape(0, 32)
    gain = net.add("Gemm", mean, np.abs(net.numbers(16, 32)), np.zeros(16, np.float32), transB=1)
    return net.conv(x, 32, 16) * 0.1 + net.add("Sigmoid", gain - 1).reshape(0, 16, 1, 1)


class TestWithoutVnni:
    """This CPU told that it cuts off, so that both runtimes' remedies are seen from inside."""

    @pytest.fixture(autouse=True)
    def cuts_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for runtime in (onnx_runtime, open_vino):
            monkeypatch.setattr(runtime, "is_exact", lambda kind: kind.largest <= 128)
        integers.warn.cache_clear()

    @pytest.mark.parametrize("name", ["m.onnx", "m.xml"])
    def test_openvino_computes_either_format_in_floats(
        self, older: onnx.ModelProto, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        onnx.save(older, tmp_path / "m.onnx")
        open_vino.writer()(tmp_path / "m.onnx", tmp_path / "m.xml", 1)
        for _ in range(2):  # two workers, one line
            with engines.load(tmp_path / name, "openvino") as engine:
                assert engine.runtime.endswith(AS_FLOATS)
                assert engine.infer(np.concatenate(layered_nets.pictures(2)))["scores"].shape == (2, 64, 3)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_a_model_that_cannot_be_computed_otherwise_is_refused(self, tmp_path: Path) -> None:
        model = build(lambda net, x: net.conv(x, 8, 16))
        model.graph.node.append(helper.make_node("MatMulInteger", ["whole", "w"], ["unused"]))
        model.graph.initializer.append(numpy_helper.from_array(np.full((2, 2), 127, np.int8), "w"))
        onnx.save(model, tmp_path / "m.onnx")
        with pytest.raises(
            ModelRefused, match=r"m\.onnx: its INT8 weights would saturate .* export it again with Q/DQ nodes"
        ):
            engines.load(tmp_path / "m.onnx")

    def test_floating_point_is_left_alone(self, tmp_path: Path) -> None:
        onnx.save(build(one_sign), tmp_path / "m.onnx")
        with engines.load(tmp_path / "m.onnx") as engine:
            assert AS_FLOATS not in engine.runtime


def test_what_this_machine_does_is_told() -> None:
    told = engines.integer_products()
    for name, runtime in (("onnxruntime", onnx_runtime), ("openvino", open_vino)):
        assert (told[name] == "exact") == runtime.is_exact(WIDEST)
