"""Language models as files: what is refused, and that a step is the network's own."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from language_nets import CHARACTERS, net, saved

from watchline.engines import metadata
from watchline.engines.errors import InferenceFailed, ModelNotFound, ModelRefused, RequestRefused
from watchline.engines.language import LanguageModel
from watchline.models.language import KINDS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "net.onnx")


def changed(file: Path, **properties: str) -> Path:
    """The file with other metadata."""
    model = onnx.load(file)
    for prop in model.metadata_props:
        prop.value = properties.get(prop.key.removeprefix("watchline."), prop.value)
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_what_the_network_computes(tmp_path, kind):
    """Weights are rounded to FP16 in the file."""
    network = net(kind)
    with LanguageModel(saved(tmp_path / "net.onnx", kind)) as model, torch.no_grad():
        state, states = model.begin(), network.zeros(1)
        for number in model.numbers("ROMEO: a bar\n"):
            scores, state = model.step(number, state)
            logits, states = network(torch.tensor([[number]]), states)
            np.testing.assert_allclose(scores, logits[0, 0].log_softmax(0).numpy(), atol=0.02)
            assert np.exp(scores).sum() == pytest.approx(1, abs=1e-5)


def test_it_says_what_it_is(file):
    with LanguageModel(file) as model:
        about = model.about
    assert (about.name, about.characters, about.checkpoint) == ("net", CHARACTERS, "0" * 64)
    assert about.figures == {"bits per character": 2.5}


def test_characters_that_it_does_not_know_are_named(file):
    with LanguageModel(file) as model, pytest.raises(RequestRefused) as error:
        model.numbers("ROMÉO ?É")
    assert str(error.value) == "net does not know 'É', '?'; expected a text of '\\n :EMORabr'"


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"task": "detect"}, "it is no language model, its task is to detect"),
        ({"schema": "2"}, "its metadata has schema 2, this Watchline reads 1"),
        ({"labels": json.dumps(["a", "bc"])}, "expected different single characters"),
        ({"labels": json.dumps(["a", "a"])}, "expected different single characters"),
        ({"labels": json.dumps(["a", "b"])}, "`scores` has the shape"),
        ({"labels": "nothing"}, "expected a JSON list"),
        ({"figures": '{"bits": "few"}'}, "expected a number for each name"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(file, properties, says):
    with pytest.raises(ModelRefused, match=r"net\.onnx: ") as error:
        LanguageModel(changed(file, **properties))
    assert says in str(error.value)


def test_other_files_are_refused(tmp_path, file):
    with pytest.raises(ModelNotFound):
        LanguageModel(tmp_path / "nothing.onnx")
    model = onnx.load(file)
    model.graph.input[1].name = "memory"
    onnx.save(model, file)
    with pytest.raises(ModelRefused, match="its inputs are `character`, `memory`; expected exactly 2"):
        LanguageModel(file)


def test_a_state_that_would_fill_the_memory_is_refused(file):
    model = onnx.load(file)
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 1 << 40
    onnx.save(model, file)
    with pytest.raises(ModelRefused, match="a row of `state` has 1099511627776 numbers"):
        LanguageModel(file)


def test_numbers_that_are_none_are_not_written(file):
    model = onnx.load(file)
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT16:
            values = np.full_like(onnx.numpy_helper.to_array(weight), np.nan)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, file)
    with LanguageModel(file) as broken, pytest.raises(InferenceFailed, match="hold NaN or infinity"):
        broken.step(0, broken.begin())


def test_who_wants_pictures_is_told_that_it_sees_none(file):
    with pytest.raises(ModelRefused, match="it is a language model, which sees no pictures; expected one that does"):
        metadata.read(file)
