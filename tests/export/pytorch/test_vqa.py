"""A network that answers questions as one graph: on each runtime what torch computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from nvidia_builder import accepts, needs_builder

from watchline.engines import load, metadata
from watchline.engines.tasks import LONGEST_QUESTION
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch import vqa
from watchline.export.pytorch.smaller import HALF_FROM
from watchline.export.request import Request
from watchline.models.vqa import VQA, Blind

WORDS = ("?", *(f"w{i}" for i in range(20)))
ANSWERS = tuple(f"a{i}" for i in range(9))
SIDE = 64
QUESTIONS = np.zeros((3, LONGEST_QUESTION), np.int32)
QUESTIONS[0, :4], QUESTIONS[1, :31], QUESTIONS[2, :1] = [1, 2, 3, 21], 5, 7


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Seeded weights whose answers depend on the picture and on the question."""
    folder = tmp_path_factory.mktemp("vqa")
    torch.manual_seed(0)
    model = VQA(WORDS, ANSWERS, embedding=16, hidden=24, places=16, attention=8)
    with torch.no_grad():
        for module in model.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.backbone.train()(torch.from_numpy(pictures(12)).permute(0, 3, 1, 2) / 128 - 1)
        for weight in (model.photo.weight, model.lstm.x.weight, model.answer.weight):
            weight.normal_(std=0.3)
    file = folder / "checkpoint.pt"
    torch.save({"model": model.state_dict(), "step": 7}, file)
    onnx.save(to_onnx([file], Request("net", size=(SIDE, SIDE))), folder / "net.onnx")
    return file, folder / "net.onnx"


def pictures(count: int) -> np.ndarray:
    """Pictures (count, SIDE, SIDE, 3) of random blots in different colours."""
    small = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return small.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)


def by_torch(file: Path) -> list[np.ndarray]:
    """What torch gives with the weights that are in the file: those of FP16."""
    network = vqa.Deployed(vqa.load(file))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() >= HALF_FROM:
                parameter.copy_(parameter.half())
        return [output.numpy() for output in network(torch.from_numpy(pictures(3)), torch.from_numpy(QUESTIONS))]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_answers_as_torch_does(exported, runtime):
    file, model = exported
    scores, looked = by_torch(file)
    with load(model, runtime) as engine:
        assert engine.metadata.words == WORDS
        assert engine.metadata.labels == ANSWERS
        batch = {"images": pictures(3), "question": QUESTIONS}
        assert np.allclose(engine.infer(batch)["scores"], scores, atol=1e-4)
        single = engine.infer({"images": pictures(3)[1:2], "question": QUESTIONS[1:2]})["scores"]
        assert np.allclose(single, scores[1:2], atol=1e-4)
        if runtime == "onnxruntime":
            assert np.allclose(engine.tensors(batch, ("attention",))["attention"], looked, atol=1e-4)
    assert looked.shape == (3, LONGEST_QUESTION, SIDE // 32, SIDE // 32)
    assert np.allclose(looked.sum((1, 2, 3)), [5, 32, 2], atol=1e-4)
    assert np.ptp(scores, axis=0).max() > 0.05  # it depends on what is asked


def test_what_it_was_made_from_is_in_the_file(exported):
    about = metadata.read(exported[1])
    assert (about.task, about.size, about.resize, about.words) == ("answer", (SIDE, SIDE), "stretch", WORDS)


@needs_builder
def test_nvidia_builds_a_plan(exported):
    assert accepts(exported[1])


def test_the_blind_one_is_not_exported(tmp_path):
    torch.save({"model": Blind(WORDS, ANSWERS).state_dict()}, tmp_path / "blind.pt")
    with pytest.raises(CheckpointRefused, match="it is blind, to be compared with"):
        to_onnx([tmp_path / "blind.pt"], Request("net"))


def test_a_broken_checkpoint_is_refused(tmp_path):
    state = VQA(WORDS, ANSWERS).state_dict()
    state["places.weight"] = state["places.weight"][:, :7].clone()
    torch.save({"model": state}, tmp_path / "broken.pt")
    with pytest.raises(CheckpointRefused, match="no checkpoint of `watchline train vqa`"):
        to_onnx([tmp_path / "broken.pt"], Request("net"))
