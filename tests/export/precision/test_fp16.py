"""FP16: what is in it, what is not, and that both runtimes give the same boxes as before."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from layered_nets import Body, Net, build, pictures
from onnx import TensorProto, numpy_helper

from watchline import engines
from watchline.engines import metadata, zoo
from watchline.export.errors import ExportRefused
from watchline.export.precision.fp16 import half
from watchline.export.surgery import Value
from watchline.measure.calibration import pictures as frames

RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    onnx.save(half(onnx.load(zoo.find(zoo.DEFAULT))), path)
    return path


def outputs(model: onnx.ModelProto, folder: Path, runtime: str) -> dict[str, np.ndarray]:
    onnx.save(model, folder / "model.onnx")
    with engines.load(folder / "model.onnx", runtime) as engine:
        return engine.infer(np.concatenate(pictures(3)))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_shipped_model_finds_the_same(shipped: Path, bikes: Path, runtime: str) -> None:
    full = zoo.find(zoo.DEFAULT)
    batch = np.concatenate(frames([str(bikes)], 20, metadata.read(full), (416, 416))[::7])
    with engines.load(full) as one, engines.load(shipped, runtime) as other:
        before, after = one.infer(batch), other.infer(batch)
    likely = before["scores"].max(-1) > 0.1
    assert likely.sum() > 20
    assert np.abs(before["boxes"] - after["boxes"])[likely].max() < 1  # pixels
    difference = np.abs(before["scores"] - after["scores"]).max()
    assert 1e-6 < difference < 5e-3  # not the same file again


def test_input_outputs_and_metadata_stay(shipped: Path) -> None:
    before, shape = metadata.describe(zoo.find(zoo.DEFAULT))
    after, its_shape = metadata.describe(shipped)
    assert its_shape == shape
    assert before.figures
    assert not after.figures
    assert (after.name, after.labels, after.imgsz, after.checkpoint) == (
        before.name,
        before.labels,
        before.imgsz,
        before.checkpoint,
    )


def test_weights_are_half_and_the_decoding_is_not(shipped: Path) -> None:
    model = onnx.load(shipped)
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolutions = [i for i, node in enumerate(model.graph.node) if node.op_type == "Conv"]
    for i in convolutions:
        assert {types[name] for name in model.graph.node[i].input[1:]} == {TensorProto.FLOAT16}
    decoding = model.graph.node[convolutions[-1] + 1 :]
    assert [node.op_type for node in decoding].count("Cast") == 1 + 3  # back to FP32 once; three are the decoding's own
    floats = {types[name] for node in decoding for name in node.input if name in types}
    assert TensorProto.FLOAT16 not in floats


def limits(net: Net, x: Value) -> Value:
    """A Clip as exporters write a ReLU."""
    return net.conv(net.add("Clip", x, np.asarray(0, np.float32), np.asarray(3.4e38, np.float32)), 8, 16)


def large(net: Net, x: Value) -> Value:
    """A number that FP16 does not have, and back."""
    return net.conv((x * 1e5) / 1e5, 8, 16)


def resized(net: Net, x: Value) -> Value:
    """Twice as large and back; Resize takes its scales in FP32."""
    scales = np.array([1, 1, 2, 2], np.float32)
    return net.add("MaxPool", net.conv(net.add("Resize", x, None, scales), 8, 16), kernel_shape=[2, 2], strides=[2, 2])


def padded(net: Net, x: Value) -> Value:
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    cut = net.add("Pad", x, pads, np.asarray(0.5, np.float32))[:, :, :SIDE, :SIDE]
    return net.conv(net.add("PRelu", cut, np.full((8, 1, 1), 0.1, np.float32)), 8, 16)


def sampled(net: Net, x: Value) -> Value:
    features = net.conv(x, 8, 16)
    where = net.add("Tanh", net.conv(x, 8, 2)).transpose(0, 2, 3, 1)
    return net.add("GridSample", features, where, align_corners=0, mode="bilinear", padding_mode="zeros")


SIDE = 32
BODIES: dict[str, Body] = {f.__name__: f for f in (limits, large, resized, padded, sampled)}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_kinds_of_layers(tmp_path: Path, name: str, runtime: str) -> None:
    full = build(BODIES[name])
    small = half(full)
    onnx.checker.check_model(small, full_check=True)
    before, after = (outputs(model, tmp_path, runtime) for model in (full, small))
    assert np.abs(before["scores"] - after["scores"]).max() < 0.01
    assert np.allclose(before["boxes"], after["boxes"], rtol=0.02)


def inputs_of(model: onnx.ModelProto, kind: str) -> list[np.ndarray]:
    """The constants that a node takes."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.op_type == kind)
    return [constants[name] for name in node.input if name in constants]


def test_limits_of_a_clip_are_cut_to_what_fp16_has() -> None:
    _, high = inputs_of(half(build(limits)), "Clip")
    assert high.dtype == np.float16
    assert high == np.finfo(np.float16).max


def test_a_layer_with_a_constant_that_fp16_does_not_have_stays_in_fp32() -> None:
    model = half(build(large))
    [factor] = inputs_of(model, "Mul")
    assert factor.dtype == np.float32
    assert factor == np.float32(1e5)


@pytest.mark.parametrize(("body", "kind"), [(resized, "Resize"), (sampled, "GridSample")])
def test_scales_and_grids_stay_in_fp32(body: Body, kind: str) -> None:
    model = half(build(body))
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.op_type == kind)
    assert types[next(name for name in node.input[1:] if name)] == TensorProto.FLOAT


def test_twice_is_refused(shipped: Path) -> None:
    with pytest.raises(ExportRefused, match="neither FP16 nor INT8"):
        half(half(onnx.load(shipped)))
