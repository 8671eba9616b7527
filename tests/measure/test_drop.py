"""What a precision costs, on a tiny data set: none, some classes, and a model that sees nothing."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import voc_set
from models_onnx import save, tiny_detector
from onnx import numpy_helper

from watchline.measure.drop import compare


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(3):
        voc_set.add(tmp_path / "voc", f"p{number}", [("person", number, 1), ("car", 4, number)])
    voc_set.split(tmp_path / "voc", "val", [f"p{number}" for number in range(3)])
    return tmp_path / "voc"


def blind_to(channel: int) -> onnx.ModelProto:
    """The tiny detector with the bias of a label so low that it answers to nothing."""
    model = tiny_detector()
    [bias] = [tensor for tensor in model.graph.initializer if tensor.name == "bias"]
    values = numpy_helper.to_array(bias).copy()
    values[4 + channel] = -1000
    bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), "bias"))
    return model


def test_the_same_model_loses_nothing(tmp_path: Path, data: Path) -> None:
    model = save(tiny_detector(), tmp_path)
    drop = compare(model, model, data)
    assert drop.mean == 0
    assert drop.full.mean == pytest.approx(1)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_class_that_is_lost_is_named(tmp_path: Path, data: Path, runtime: str) -> None:
    full, small = save(tiny_detector(), tmp_path), save(blind_to(2), tmp_path, "small.onnx")
    drop = compare(full, small, data, runtime)
    assert drop.mean == pytest.approx(0.5)
    assert drop.per_class == {"car": pytest.approx(1), "person": pytest.approx(0)}
    title, _, _, _, *rows = drop.table().splitlines()
    assert title == "AP at IoU 0.5 (voc2010) on 3 pictures of voc val"
    assert [re.findall(r"[\w.]+", row) for row in rows] == [
        ["car", "3", "1.000", "0.000", "1.000"],
        ["person", "3", "1.000", "1.000", "0.000"],
        ["mean", "6", "1.000", "0.500", "0.500"],
    ]


def test_a_model_that_became_better_has_a_drop_below_nought(tmp_path: Path, data: Path) -> None:
    full, small = save(blind_to(0), tmp_path), save(tiny_detector(), tmp_path, "small.onnx")
    assert compare(full, small, data).mean == pytest.approx(-0.5)
