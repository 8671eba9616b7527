"""The small Mask R-CNN as ONNX: the graph computes what torch computes, and holds what the contract wants."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_nets import mask_rcnn as random_mask_rcnn

from watchline import engines
from watchline.engines import metadata
from watchline.export.again import again
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import mask_rcnn
from watchline.export.request import Request
from watchline.models.efficientnet_lite import normalise
from watchline.models.mask_rcnn_lite import LiteMaskRCNN
from watchline.models.mask_rcnn_scales import SeveralScales

FORBIDDEN = {"If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "RoiAlign", "BatchNormalization"}
MOST_FOR_TOPK = 3840  # of NVIDIA's builder
SIZE = (128, 96)


@pytest.fixture(scope="module")
def network():
    return random_mask_rcnn()


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "checkpoint.pt"
    torch.save({"model": network.state_dict(), "network": "mask-rcnn", "step": 3}, path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint):
    return to_onnx([checkpoint], Request("small", ("person", "bag"), SIZE))


def test_the_engine_finds_what_torch_finds(network, model, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIZE[1], SIZE[0], 3), np.uint8)
    onnx.save(model, tmp_path / "net.onnx")
    with engines.load(tmp_path / "net.onnx", "onnxruntime") as engine:
        found = engine.infer(pictures)
    with torch.no_grad():
        boxes, scores, masks = network(torch.from_numpy(pictures[..., ::-1].copy()).permute(0, 3, 1, 2))
    assert (scores > 0).sum() > 20
    assert {name: value.shape for name, value in found.items()} == {
        "boxes": boxes.shape,
        "scores": scores.shape,
        "masks": masks.shape,
    }
    for number in range(2):
        far = torch.cdist(boxes[number], torch.from_numpy(found["boxes"][number]), p=torch.inf)
        far += 1e3 * (scores[number].argmax(-1)[:, None] != torch.from_numpy(found["scores"][number]).argmax(-1))
        sure = scores[number].amax(-1) > 0.2  # weights were rounded: what hardly scores may come or go
        near, partner = far.min(1)
        assert near[sure].quantile(0.9) < 1.0
        rows = torch.nonzero(sure & (near < 0.5))[:, 0]
        assert len(rows) > 3
        theirs = torch.from_numpy(found["masks"][number])[partner[rows]]
        assert (masks[number][rows] - theirs).abs().mean() < 0.02


def test_the_graph_is_static_and_its_metadata_says_what_it_is(model, checkpoint):
    operators = {node.op_type for node in model.graph.node}
    assert not operators & FORBIDDEN
    sizes = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer if w.data_type == 7}
    counts = [
        sizes[node.input[1]].item() for node in model.graph.node if node.op_type == "TopK" and node.input[1] in sizes
    ]
    assert all(count <= MOST_FOR_TOPK for count in counts)
    about = metadata.of(model, "small")
    assert (about.task, about.labels, about.size, about.resize) == ("instances", ("person", "bag"), SIZE, "letterbox")
    assert about.pad == (127, 127, 127)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert sum(w.ByteSize() for w in model.graph.initializer) < 10e6


@pytest.fixture(scope="module")
def two_scales(checkpoint):
    return to_onnx([checkpoint], Request("two", ("person", "bag"), SIZE, scales=(1.0, 1.5)))


def test_at_several_scales_the_engine_finds_what_torch_finds(network, two_scales, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (1, SIZE[1], SIZE[0], 3), np.uint8)
    assert not {node.op_type for node in two_scales.graph.node} & FORBIDDEN
    onnx.save(two_scales, tmp_path / "net.onnx")
    with engines.load(tmp_path / "net.onnx", "onnxruntime") as engine:
        found = engine.infer(pictures)
    with torch.no_grad():
        images = normalise(torch.from_numpy(pictures[..., ::-1].copy()).permute(0, 3, 1, 2).float())
        boxes, scores, _ = SeveralScales(network, (1.0, 1.5)).detect(images)
    sure = scores[0].amax(-1) > 0.2  # weights were rounded: what hardly scores may come or go
    assert sure.sum() > 3
    near = torch.cdist(boxes[0], torch.from_numpy(found["boxes"][0]), p=torch.inf).amin(1)
    assert near[sure].quantile(0.9) < 1.0


def test_an_exported_one_is_exported_again_with_another_size_and_its_scales(model, two_scales, tmp_path):
    onnx.save(two_scales, tmp_path / "net.onnx")
    larger = again(tmp_path / "net.onnx", "net.onnx", Request("larger", size=(160, 128)), None, None)
    about = metadata.of(larger, "larger")
    assert (about.labels, about.size, about.name) == (("person", "bag"), (160, 128), "larger")
    assert about.checkpoint == metadata.of(two_scales, "two").checkpoint
    assert len(larger.graph.node) > 1.1 * len(model.graph.node), "it looks at one size only"
    before, after = (
        {w.name: onnx.numpy_helper.to_array(w) for w in m.graph.initializer if w.name.endswith(".half")}
        for m in (two_scales, larger)
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        np.testing.assert_allclose(after[name], weight, rtol=2e-3, atol=1e-6)


def test_one_class_is_a_person_and_the_input_is_broader_than_high(tmp_path):
    torch.save({"model": LiteMaskRCNN(1).state_dict()}, tmp_path / "one.pt")
    about = metadata.of(mask_rcnn.export(tmp_path / "one.pt", Request("one")), "one")
    assert (about.labels, about.size) == (("person",), (512, 448))


def test_what_does_not_fit_is_refused(checkpoint, tmp_path):
    with pytest.raises(ExportRefused, match="expected multiples of 32"):
        mask_rcnn.export(checkpoint, Request("x", ("a", "b"), (100, 96)))
    with pytest.raises(ExportRefused):
        mask_rcnn.export(checkpoint, Request("x", ("a",)))
    with pytest.raises(ExportRefused, match="asked for 8192 x 6144"):
        mask_rcnn.export(checkpoint, Request("x", ("a", "b"), (4096, 3072), scales=(1.0, 2.0)))
    torch.save({"model": {"x": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train mask-rcnn`"):
        mask_rcnn.load(tmp_path / "other.pt")
    state = LiteMaskRCNN(1).state_dict() | {"mask.finer.weight": torch.zeros(3)}
    torch.save({"model": state}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="no Mask R-CNN"):
        mask_rcnn.load(tmp_path / "other.pt")
