"""A captioner as one graph: word by word what torch computes, on every runtime."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nvidia_builder import accepts, needs_builder

from watchline.engines import load, metadata
from watchline.export.checkpoint import to_onnx
from watchline.export.digest import sha256
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.pytorch import captioner
from watchline.export.pytorch.smaller import HALF_FROM
from watchline.export.request import Request
from watchline.models.beam import BEAM
from watchline.models.captioners import SYSTEMS

STEPS = 6
WORDS = ("<end>", *(f"w{i}" for i in range(40)))
SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """A graph of six steps is traced and built three times as fast as one of twenty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioner, "STEPS", STEPS)
        yield


def checkpoint(folder: Path, system: str) -> Path:
    """Seeded weights that say different things of different pictures, some of them short."""
    torch.manual_seed(0)
    model = SYSTEMS[system](WORDS, embedding=16, hidden=24)
    with torch.no_grad():
        for module in model.backbone.modules():  # so that what it gives depends on the picture
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.backbone.train()(torch.from_numpy(pictures(12)).permute(0, 3, 1, 2) / 128 - 1)
        model.embed.weight.mul_(20)
        model.head.weight.mul_(5)
        for name in ("places", "photo"):
            if hasattr(model, name):
                getattr(model, name).weight.mul_(5)
    file = folder / f"{system}.pt"
    torch.save({"model": model.state_dict(), "step": 7}, file)
    return file


@pytest.fixture(scope="module", params=SYSTEMS)
def exported(request, tmp_path_factory, few_steps):
    folder = tmp_path_factory.mktemp("captioner")
    file = checkpoint(folder, request.param)
    onnx.save(to_onnx([file], Request("net", size=(SIDE, SIDE))), folder / "net.onnx")
    return file, folder / "net.onnx"


def pictures(count: int) -> np.ndarray:
    """Pictures (count, SIDE, SIDE, 3) of random blots in different colours."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return small.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)


def by_torch(file: Path, batch: np.ndarray) -> list[np.ndarray]:
    """What torch gives with the weights that are in the file: those of FP16."""
    network = captioner.Deployed(captioner.load(file))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() >= HALF_FROM:
                parameter.copy_(parameter.half())
        return [output.numpy() for output in network(torch.from_numpy(batch))]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_word_is_torch_s(exported, runtime):
    file, path = exported
    batch = pictures(12)
    with load(path, runtime) as engine:
        found = [engine.infer(batch[i : i + 4]) for i in range(0, 12, 4)]
    words, scores, *_ = by_torch(file, batch)
    assert len(set(map(tuple, words[:, 0].tolist()))) > 1
    ours, chances = (np.concatenate([each[name] for each in found]) for name in ("words", "scores"))
    same = (ours == words).all(axis=2)
    assert same.mean() > (0.9 if runtime == "openvino" else 0.99)  # it sums in another order, and some are nearly equal
    np.testing.assert_allclose(chances[same], scores[same], atol=5e-3)


def test_the_attention_sums_to_one_and_is_torch_s(tmp_path):
    file = checkpoint(tmp_path, "show-attend-tell")
    onnx.save(captioner.export(file, Request("net", size=(SIDE, 2 * SIDE))), tmp_path / "net.onnx")
    batch = pictures(3).repeat(2, 1)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    words, _, attention = session.run(None, {"images": batch})
    assert attention.shape == (3, STEPS, 4, 2)
    np.testing.assert_allclose(attention.sum(axis=(2, 3)), 1, atol=1e-5)
    theirs, _, looked = by_torch(file, batch)
    np.testing.assert_array_equal(words, theirs)
    np.testing.assert_allclose(attention, looked, atol=1e-3)


def test_the_file_says_what_it_is(exported):
    file, path = exported
    about, _ = metadata.describe(path)
    assert (about.name, about.task, about.imgsz, about.resize) == ("net", "caption", SIDE, "stretch")
    assert about.labels == WORDS
    assert about.checkpoint == sha256(file)
    graph = onnx.load(path).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert not {"If", "Loop", "NonZero", "BatchNormalization"} & kinds.keys()
    shapes = {out.name: [d.dim_value or d.dim_param for d in out.type.tensor_type.shape.dim] for out in graph.output}
    assert shapes["words"] == ["batch", BEAM, STEPS]
    assert ("attention" in shapes) == (file.stem == "show-attend-tell")


def test_the_weights_are_stored_once_and_in_half(exported):
    file, path = exported
    parameters = sum(value.numel() for value in torch.load(file)["model"].values() if value.is_floating_point())
    assert path.stat().st_size < 2.2 * parameters + 900_000  # the graph of twenty steps


@needs_builder
def test_nvidia_builds_a_plan(exported):
    if exported[0].stem == "show-attend-tell":  # the others are parts of it
        assert accepts(exported[1])


def test_what_is_no_captioner_or_a_bent_one_is_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train captioner`"):
        captioner.load(tmp_path / "other.pt")
    state = torch.load(checkpoint(tmp_path, "show-and-tell"))["model"]
    for change in ({"letters": torch.tensor([255], dtype=torch.uint8)}, {"head.weight": torch.zeros(1)}):
        torch.save(state | change, tmp_path / "bent.pt")
        with pytest.raises(CheckpointRefused, match="it is no ShowAndTell"):
            captioner.load(tmp_path / "bent.pt")


def test_a_size_or_labels_that_do_not_fit_are_refused(tmp_path):
    file = checkpoint(tmp_path, "show-and-tell")
    with pytest.raises(ExportRefused, match="asked for 100 x 64; expected multiples of 32"):
        captioner.export(file, Request("net", size=(100, 64)))
    with pytest.raises(ExportRefused, match="it has 41 classes, but 2 names are given"):
        captioner.export(file, Request("net", labels=("a", "b")))
