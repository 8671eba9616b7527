"""INT8: what is rounded and how for each target, what is not, and what is left of the boxes."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from layered_nets import Body, Net, build, pictures
from models_onnx import tiny_classifier
from onnx import NodeProto, TensorProto, numpy_helper

from watchline import engines
from watchline.engines import metadata, zoo
from watchline.export.errors import ExportFailed, ExportRefused
from watchline.export.precision.int8 import FORMS, quantise
from watchline.export.surgery import Value
from watchline.measure.calibration import pictures as frames

FULL = zoo.find(zoo.DEFAULT)
TARGETS = tuple(FORMS)
RUN = [("onnxruntime",) * 2, ("openvino",) * 2, ("onnxruntime", "openvino"), ("tensorrt", "onnxruntime")]
Q, DQ = "QuantizeLinear", "DequantizeLinear"


class Small:
    """A quantised model, and who makes and takes each of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.makers = {name: node for node in self.nodes for name in node.output}

    def kinds(self) -> Counter[str]:
        return Counter(node.op_type for node in self.nodes)

    def is_rounded(self, name: str) -> bool:
        """Whether the tensor comes from integers."""
        return name in self.makers and self.makers[name].op_type == DQ

    def of(self, kind: str) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type == kind]

    def convs(self, target: str) -> list[NodeProto]:
        """Those that INT8 is for: on CPUs all but the first, which sees three colours."""
        return self.of("Conv")[target != "tensorrt" :]


@pytest.fixture(scope="module")
def batches(bikes: Path) -> list[np.ndarray]:
    return frames([str(bikes)], 25, metadata.read(FULL), (416, 416))


@pytest.fixture(scope="module")
def shipped(batches: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("int8")
    paths: dict[str, Path] = {target: folder / f"{target}.onnx" for target in TARGETS}
    for target, path in paths.items():
        onnx.save(quantise(onnx.load(FULL), batches, target), path)
    return paths


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def small(target: str, shipped: dict[str, Path]) -> Small:
    return Small(onnx.load(shipped[target]))


@pytest.mark.parametrize(("target", "runtime"), RUN)
def test_boxes_and_scores_are_close(
    shipped: dict[str, Path], batches: list[np.ndarray], target: str, runtime: str
) -> None:
    batch = np.concatenate(batches[::3])
    with engines.load(FULL) as one, engines.load(shipped[target], runtime) as other:
        before, after = one.infer(batch), other.infer(batch)
    best = before["scores"].max(-1)
    likely = best > 0.3
    assert likely.sum() > 20
    assert np.abs(after["scores"].max(-1) - best)[likely].mean() < 0.05
    assert after["scores"][~likely].max() < 0.7  # nothing is made up
    moved = np.abs(before["boxes"] - after["boxes"])[likely].max(-1) / np.ptp(before["boxes"][likely], axis=-1)
    assert 0 < np.median(moved) < 0.05


def test_input_outputs_and_metadata_stay(shipped: dict[str, Path], target: str) -> None:
    before, shape = metadata.describe(FULL)
    after, its_shape = metadata.describe(shipped[target])
    assert its_shape == shape
    assert before.figures  # which were measured in FP32
    assert not after.figures
    assert (after.name, after.labels, after.checkpoint) == (before.name, before.labels, before.checkpoint)
    assert shipped[target].stat().st_size < 0.6 * FULL.stat().st_size
    onnx.checker.check_model(onnx.load(shipped[target]), full_check=True)


def test_weights_have_a_step_for_each_channel_and_no_offset(small: Small, target: str) -> None:
    for conv in small.convs(target):
        rounding = small.makers[conv.input[1]]
        integers, step, zero = (small.constants[name] for name in rounding.input)
        assert integers.dtype == zero.dtype == np.int8
        assert not zero.any()
        assert step.shape == zero.shape == (len(integers),)
        whole = integers.astype(int)
        peaks = np.abs(whole).reshape(len(whole), -1).max(1)
        assert (peaks <= 127).all()
        if target == "tensorrt" or integers.shape[1] == 1:  # the steps are as fine as can be
            assert (peaks[peaks > 0] == 127).all()
        else:  # or as they can be where two products are summed up in 16 bits
            pairs = np.abs(whole[:, ::2] + whole[:, 1::2]).reshape(len(whole), -1).max(1)
            assert (pairs <= 128).all()
            assert ((peaks == 127) | (pairs >= 126))[peaks > 0].all()


def test_on_cpus_the_first_layer_is_as_it_was(small: Small, target: str) -> None:
    first = small.of("Conv")[0]
    assert small.is_rounded(first.input[0]) == small.is_rounded(first.input[1]) == (target == "tensorrt")


def test_biases_are_not_rounded(small: Small) -> None:
    for conv in small.of("Conv"):
        assert small.constants[conv.input[2]].dtype == np.float32


def test_the_decoding_is_as_it_was(small: Small) -> None:
    before = [node.op_type for node in onnx.load(FULL).graph.node if node.op_type not in ("Constant", "Cast")]
    after = [node.op_type for node in small.nodes if node.op_type not in (Q, DQ, "Cast")]
    assert after == before
    last = max(i for i, node in enumerate(small.nodes) if node.op_type == "Conv")
    assert not {Q, DQ} & {node.op_type for node in small.nodes[last:]}


def test_for_tensorrt_activations_have_no_offset(shipped: dict[str, Path]) -> None:
    small = Small(onnx.load(shipped["tensorrt"]))
    assert small.model.opset_import[0].version == 19
    zeros = [small.constants[node.input[2]] for node in small.of(Q)]
    assert {zero.dtype for zero in zeros} == {np.dtype(np.int8)}
    assert not any(zeros)
    assert all(small.is_rounded(conv.input[0]) for conv in small.of("Conv"))
    for node in small.of("Add")[:9]:  # of a residual block: the sum follows its convolution
        assert sorted(small.is_rounded(name) for name in node.input) == [False, True]


def test_for_cpus_onnx_runtime_computes_the_layers_in_int8(shipped: dict[str, Path], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(shipped["onnxruntime"], options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 56  # all but the first, and the last, whose output stays in floating point
    assert kinds["QLinearAdd"] == 9


def swish(net: Net, x: Value) -> Value:
    y = net.conv(x, 8, 16)
    return y * net.add("Sigmoid", y)


def hard_swish(net: Net, x: Value) -> Value:
    y = net.conv(x, 8, 16)
    bent = net.add("Clip", y + 3, np.asarray(0, np.float32), np.asarray(6, np.float32))
    return y * bent / 6


def relu(net: Net, x: Value) -> Value:
    return net.add("Relu", net.conv(x, 8, 16))


def leaky(net: Net, x: Value) -> Value:
    return net.add("LeakyRelu", net.conv(x, 8, 16), alpha=0.1)


@pytest.mark.parametrize(
    ("body", "counts"),
    [(relu, (2, 2, 3)), (leaky, (3, 2, 3)), (swish, (4, 2, 3)), (hard_swish, (5, 2, 3))],
    ids=["relu", "leaky", "swish", "hard swish"],
)
def test_where_an_activation_is_rounded(body: Body, counts: tuple[int, ...]) -> None:
    """Two or three convolutions have rounded inputs; ONNX Runtime needs more to compute in INT8, others not inside."""
    for target, count in zip(TARGETS, counts, strict=True):
        small = Small(quantise(build(body), pictures(4), target))
        assert small.kinds()[Q] == count
        assert all(small.is_rounded(conv.input[0]) for conv in small.convs(target))


def pooled(net: Net, x: Value) -> Value:
    """What only carries numbers."""
    y = net.add("MaxPool", net.conv(x, 8, 16), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return y.reshape(0, 2, 8, 32, 32).transpose(0, 2, 1, 3, 4).reshape(0, 16, 32, 32)


def test_what_only_carries_numbers_keeps_their_step() -> None:
    small = Small(quantise(build(pooled), pictures(4), "onnxruntime"))
    [pool] = small.of("MaxPool")
    before = small.makers[pool.input[0]]
    after = [node for node in small.of(Q) if node.input[0] == pool.output[0]]
    assert [small.constants[name] for name in before.input[1:]] == [
        small.constants[name] for name in after[0].input[1:]
    ]


def shared_weight(net: Net, x: Value) -> Value:
    """One weight for two layers whose inputs differ, as on the levels of a pyramid."""
    weight, bias = net.constant(net.numbers(8, 8, 3, 3)), net.constant(net.numbers(8, 9)[:, 0])
    levels = [net.add("Conv", y, weight, bias, pads=[1, 1, 1, 1]) for y in (x, net.add("Relu", x - 0.2))]
    return net.concat(levels, 1)


def test_layers_share_a_weight_and_not_a_bias(target: str) -> None:
    small = Small(quantise(build(shared_weight), pictures(4), target))
    first, second = (
        node for node in small.convs(target) if small.constants[small.makers[node.input[1]].input[0]].shape[1] == 8
    )
    assert first.input[1] == second.input[1]
    assert first.input[2] != second.input[2]


def products(net: Net, x: Value) -> Value:
    """A matrix product and a Gemm with constant weights, behind a pooling over the picture."""
    mean = net.add("GlobalAveragePool", net.conv(x, 8, 16)).reshape(0, 16)
    one = net.add("MatMul", mean, net.numbers(16, 16))
    two = net.add("Gemm", net.add("Relu", one), net.numbers(16, 16), net.numbers(16, 9)[:, 0], transB=1)
    return net.conv(x, 8, 16) * two.reshape(0, 16, 1, 1)


@pytest.mark.parametrize(("target", "runtime"), RUN)
@pytest.mark.parametrize("body", [swish, hard_swish, pooled, shared_weight, products])
def test_kinds_of_layers_give_nearly_the_same(tmp_path: Path, body: Body, runtime: str, target: str) -> None:
    full = build(body)
    small = quantise(full, pictures(8), target)
    assert Small(small).kinds()[DQ] >= 4
    outputs = []
    for model in (full, small):
        onnx.save(model, tmp_path / "model.onnx")
        with engines.load(tmp_path / "model.onnx", runtime) as engine:
            outputs.append(engine.infer(np.concatenate(pictures(3))))  # any batch
    assert 0 < np.abs(outputs[0]["scores"] - outputs[1]["scores"]).max() < 0.03


def test_products_have_a_step_for_each_output() -> None:
    small = Small(quantise(build(products), pictures(4), "tensorrt"))
    for kind, axis in (("MatMul", 1), ("Gemm", 0)):
        [node] = small.of(kind)
        rounding = small.makers[node.input[1]]
        assert [part.i for part in rounding.attribute if part.name == "axis"] == [axis]
        assert small.constants[rounding.input[1]].shape == (16,)


def outlier(net: Net, x: Value) -> Value:
    """A channel that reaches a thousand times as far as the others, which a depthwise layer keeps apart from them.

    Behind a pooling that an ordinary layer looks at too.
    """
    far = np.ones((16, 1, 1), np.float32)
    far[3] = 1000
    y = net.add("MaxPool", net.conv(x, 8, 16) * far, kernel_shape=[1, 1])
    apart = net.add("Conv", y, net.numbers(16, 1, 3, 3) / far[..., None], pads=[1, 1, 1, 1], group=16)
    return apart + net.conv(y / far, 16, 16)


def test_a_layer_that_rounding_hurts_stays_as_it_was(target: str) -> None:
    small = Small(quantise(build(outlier), pictures(4), target))
    depthwise = next(node for node in small.of("Conv") if any(a.name == "group" and a.i == 16 for a in node.attribute))
    assert depthwise.input[1] in small.constants
    [pool] = small.of("MaxPool")
    assert depthwise.input[0] == pool.output[0]
    assert not small.is_rounded(pool.input[0])  # it would be rounded all the same
    rest = [conv for conv in small.convs(target) if conv is not depthwise]
    assert all(small.constants[small.makers[conv.input[1]].input[0]].dtype == np.int8 for conv in rest)


def test_the_bias_takes_back_what_rounding_does_to_the_mean(tmp_path: Path) -> None:
    """Weights whose rounding errors all go one way: without correction each output would be too small."""
    weight = np.full((8, 8, 3, 3), 0.2, np.float32)
    weight[:, 0, 0, 0] = 127
    net: Body = lambda net, x: net.conv(net.add("Conv", net.add("Sigmoid", x), weight, pads=[1, 1, 1, 1]), 8, 16)  # noqa: E731
    full = build(net)
    small = quantise(full, pictures(8), "tensorrt")
    name = next(node.output[0] for node in full.graph.node if node.op_type == "Conv" and len(node.input) == 2)
    means = []
    for model in (full, small):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
        means.append(np.mean([session.run([name], {"images": batch})[0] for batch in pictures(8)]))
    kept = Small(small).makers[name]
    assert Small(small).is_rounded(kept.input[1])
    assert len(kept.input) == 3
    assert abs(means[1] / means[0] - 1) < 0.01  # of 0.1: at the border, less of a picture is under the weights


def test_a_model_of_one_batch_only_sees_pictures_in_it() -> None:
    model = build(swish)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    small = quantise(model, pictures(4), "onnxruntime")
    assert Small(small).constants.keys() == Small(quantise(build(swish), pictures(4), "onnxruntime")).constants.keys()


def test_a_model_that_takes_proposals_is_refused() -> None:
    with pytest.raises(ExportRefused, match="takes `proposals` beside the pictures"):
        quantise(tiny_classifier(4), pictures(4), "onnxruntime")


def test_a_model_without_layers_for_int8_is_refused() -> None:
    net = Net()
    x = net.input("images", np.uint8, ("batch", 8, 8, 3)).cast(np.float32).reshape(0, 64, 3)
    net.output("boxes", net.add("MatMul", x, net.numbers(3, 32)), ("batch", 64, 32))
    with pytest.raises(ExportRefused, match="no layer that INT8 is for there"):
        quantise(net.build(), pictures(2), "onnxruntime")


def test_the_model_given_is_left_alone() -> None:
    model = build(swish)
    before = model.SerializeToString()
    quantise(model, pictures(2), "tensorrt")
    assert model.SerializeToString() == before


def test_what_cannot_be_is_refused() -> None:
    model = build(swish)
    with pytest.raises(ExportRefused, match="no pictures to calibrate on"):
        quantise(model, [], "onnxruntime")
    for target, why in (("onnxruntime", "unless it is in FP16 or INT8 already"), ("tensorrt", "neither FP16 nor INT8")):
        with pytest.raises(ExportRefused, match=why):
            quantise(quantise(model, pictures(2), target), pictures(2), target)
    with pytest.raises(ExportFailed, match="NaN or infinity in FP32 already"):
        quantise(build(lambda net, x: net.conv(x * 1e38 * 1e38, 8, 16)), pictures(2), "onnxruntime")
    night = [np.full_like(batch, value) for batch, value in zip(pictures(10), [0] * 9 + [255], strict=True)]
    with pytest.raises(ExportFailed, match=r"none of the 2 layers bears INT8.*more than 4%"):
        quantise(build(swish), night, "onnxruntime")
