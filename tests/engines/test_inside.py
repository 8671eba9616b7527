"""Tensors inside a model, from each runtime, against NumPy."""

import models_onnx
import numpy as np
import pytest
from models_onnx import STRIDE

from watchline.engines import inside as module
from watchline.engines.errors import ModelRefused, RequestRefused
from watchline.engines.inside import inside, of_the_picture


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("at_once", [3, 100])
def test_tensors_are_what_numpy_computes(runtime: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    model = models_onnx.tiny_detector()
    before = model.SerializeToString()
    batch = models_onnx.pictures(2, 32, 24)
    tensors = dict(inside(model, runtime, batch))
    assert list(tensors) == of_the_picture(model.graph)
    np.testing.assert_allclose(tensors["scaled"], batch / 255, atol=1e-6)
    np.testing.assert_allclose(tensors["planes"], (batch / 255).transpose(0, 3, 1, 2), atol=1e-6)
    assert tensors["column"][0, 1, :, 0].tolist() == list(range(32 // STRIDE))
    for name, values in models_onnx.expected(batch).items():
        np.testing.assert_allclose(tensors[name], values, atol=1e-4)
    assert model.SerializeToString() == before  # it was only lent


def test_weights_are_not_of_the_picture() -> None:
    model = models_onnx.tiny_detector()
    model.graph.node.insert(0, module.onnx.helper.make_node("Identity", ["weight"], ["copied"], name="copy"))
    model.graph.node[4].input[1] = "copied"
    names = of_the_picture(model.graph)
    assert names[:3] == ["float", "scaled", "planes"]
    assert names[-1] == "scores"
    assert "copied" not in names
    assert "weight" not in names


def test_some_tensors() -> None:
    found = list(inside(models_onnx.tiny_detector(), "onnxruntime", models_onnx.pictures(1, 16, 16), ["grid", "t"]))
    assert [name for name, _ in found] == ["grid", "t"]
    assert found[0][1].shape == (1, 7, 2, 2)


def test_what_cannot_be_is_refused() -> None:
    batch = models_onnx.pictures(1, 16, 16)
    with pytest.raises(RequestRefused, match="tensorrt does not show"):
        list(inside(models_onnx.tiny_detector(), "tensorrt", batch))
    with pytest.raises(RequestRefused, match="multiple of 8"):
        list(inside(models_onnx.tiny_detector(), "onnxruntime", batch[:, :12]))
    with pytest.raises(ModelRefused, match="nothing"):
        list(inside(models_onnx.tiny_detector(), "onnxruntime", batch, ["nothing"]))
