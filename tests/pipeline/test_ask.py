"""`watchline.ask`: maps only where they are wanted, and only of the picture."""

import numpy as np
import onnx
import pytest
from models_onnx import tiny_vqa

from watchline import Asker, ask
from watchline.engines import metadata
from watchline.pipeline.errors import ConfigError

RED = np.full((64, 32, 3), (0, 0, 255), np.uint8)


def asker(path, model):
    onnx.save(model, path)
    return Asker(question="What colour is it?", model=str(path))


@pytest.mark.parametrize("name", ["vqa.onnx", "VQA.ONNX"])
def test_a_model_that_does_not_tell_where_it_looks_answers(tmp_path, name):
    model = tiny_vqa()
    del model.graph.output[1]
    blind = asker(tmp_path / name, model)
    found = ask(RED, blind)
    assert (found.answer.text, found.maps.shape) == ("red", (0, 0, 0))
    with pytest.raises(ConfigError, match="it does not tell where it looks: expected a model with attention"):
        ask(RED, blind, attention=True)


@pytest.mark.parametrize(("resize", "shape"), [("stretch", (5, 2, 2)), ("letterbox", (5, 2, 1))])
def test_the_maps_are_of_the_picture_alone(tmp_path, resize, shape):
    model = tiny_vqa()
    [entry] = [each for each in model.metadata_props if each.key == metadata.PREFIX + "resize"]
    entry.value = resize
    found = ask(RED, asker(tmp_path / "vqa.onnx", model), attention=True)
    assert found.words == ("what", "colour", "is", "it", "?")
    assert found.maps.shape == shape
