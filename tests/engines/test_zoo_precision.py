"""A model that ships in INT8 too is run in INT8 where the CPU gains from it, unless the user says otherwise."""

import onnx
import pytest
from onnx import helper

from watchline.engines import cpu, zoo
from watchline.engines.errors import ModelNotFound, RequestRefused


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch):
    """A folder of models, on a CPU with AVX2."""
    for name in ("net.onnx", "net.int8.onnx", "words.onnx"):
        (tmp_path / name).touch()
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    monkeypatch.setattr(cpu, "features", lambda: ["avx2"])
    return tmp_path


@pytest.mark.parametrize(
    ("model", "precision", "runtime", "file"),
    [
        ("net", "auto", None, "net.int8.onnx"),
        ("net", "auto", "openvino", "net.int8.onnx"),
        ("net", "auto", "cuda", "net.onnx"),
        ("net", "auto", "tensorrt", "net.onnx"),
        ("net", "fp32", None, "net.onnx"),
        ("net", "int8", "tensorrt", "net.int8.onnx"),
        ("words", "auto", None, "words.onnx"),
    ],
)
def test_which_file_runs(shipped, model, precision, runtime, file):
    assert zoo.chosen(model, precision, runtime) == shipped / file


@pytest.mark.parametrize("features", [[], ["asimd", "asimddp"]])
def test_where_the_gain_was_not_measured_fp32_runs(shipped, monkeypatch, features):
    monkeypatch.setattr(cpu, "features", lambda: features)
    assert zoo.chosen("net", "auto") == shipped / "net.onnx"
    assert zoo.chosen("net", "int8") == shipped / "net.int8.onnx"


@pytest.mark.parametrize(("layer", "precision"), [("Conv", "fp32"), ("QuantizeLinear", "int8")])
def test_a_file_runs_in_the_precision_that_it_has(shipped, layer, precision):
    own = shipped / "own.onnx"
    graph = helper.make_graph([helper.make_node(layer, ["x", "y"], ["z"])], "own", [], [])
    onnx.save(helper.make_model(graph), own)
    assert zoo.chosen(str(own)) == zoo.chosen(str(own), precision) == own
    other = {"fp32": "int8", "int8": "fp32"}[precision]
    with pytest.raises(RequestRefused, match=rf"its layers are {precision.upper()}, {other} was asked for"):
        zoo.chosen(str(own), other)


def test_the_int8_files_are_no_models_of_their_own():
    assert zoo.names() == ["net", "words"]
    with pytest.raises(ModelNotFound, match="expected a file, or one of the shipped: net, words"):
        zoo.find("net.int8")
    with pytest.raises(ModelNotFound, match=r"the shipped: net, words; did you mean 'words'\?"):
        zoo.find("wrods")


def test_int8_that_does_not_ship_is_not_replaced_in_silence():
    with pytest.raises(ModelNotFound, match=r"words does not ship in INT8: .*make it: watchline export words"):
        zoo.chosen("words", "int8")
