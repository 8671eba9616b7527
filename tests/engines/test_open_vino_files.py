"""OpenVINO's own files: written, loaded, and giving the numbers of the ONNX."""

from pathlib import Path

import numpy as np
import openvino
import pytest
from models_onnx import IMGSZ, pictures, save, tiny_detector, tiny_segmenter, without_metadata

from watchline.engines import load, open_vino
from watchline.engines.errors import ModelRefused, RequestRefused


def write(model: Path, file: Path) -> None:
    assert open_vino.writer()(model, file, 1) == (file, file.with_suffix(".bin"))


@pytest.mark.parametrize("make", [tiny_detector, tiny_segmenter])
@pytest.mark.parametrize("size", [None, (64, 32)])
def test_numbers_are_those_of_the_onnx(tmp_path: Path, make, size) -> None:
    onnx = save(make(), tmp_path)
    write(onnx, tmp_path / "tiny.xml")
    batch = pictures(3, *(size or (IMGSZ, IMGSZ)))
    with load(onnx, "openvino", size) as a, load(tmp_path / "tiny.xml", size=size) as b:
        assert b.metadata == a.metadata
        assert b.size == a.size
        ours, theirs = a.infer(batch), b.infer(batch)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.bin", "tiny.onnx", "tiny.xml"]


def test_a_size_that_is_fixed_stays_fixed(tmp_path: Path) -> None:
    write(save(tiny_detector(size=(64, 64)), tmp_path), tmp_path / "tiny.xml")
    with pytest.raises(RequestRefused, match="fixed at 64 x 64"):
        load(tmp_path / "tiny.xml", size=(32, 32))


def test_an_xml_of_somebody_else_is_refused(tmp_path: Path) -> None:
    model = openvino.Core().read_model(str(save(without_metadata(tiny_detector()), tmp_path)))
    openvino.save_model(model, str(tmp_path / "other.xml"))
    with pytest.raises(ModelRefused, match=r"other\.xml: no Watchline model, its metadata lacks watchline\.schema"):
        load(tmp_path / "other.xml")


def test_an_xml_without_its_weights_is_refused(tmp_path: Path) -> None:
    write(save(tiny_detector(), tmp_path), tmp_path / "tiny.xml")
    (tmp_path / "tiny.bin").unlink()
    with pytest.raises(ModelRefused, match=r"tiny\.xml: openvino .* does not take it"):
        load(tmp_path / "tiny.xml")


def test_no_xml_runs_elsewhere(tmp_path: Path) -> None:
    write(save(tiny_detector(), tmp_path), tmp_path / "tiny.xml")
    with pytest.raises(RequestRefused, match=r"an OpenVINO model, onnxruntime cannot run it; it runs \.onnx$"):
        load(tmp_path / "tiny.xml", "onnxruntime")
