"""Models whose task is to segment, by every runtime: a number for each pixel."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from models_onnx import save, tiny_detector, tiny_segmenter

from watchline.engines import load
from watchline.engines.errors import ModelRefused
from watchline.engines.replay import Recorder
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.stages.detector import Detector

BATCH = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_each_pixel_has_its_class(tmp_path: Path, runtime: str) -> None:
    with load(save(tiny_segmenter(), tmp_path), runtime, (64, 32)) as engine:
        engine.warm_up()
        outputs = engine.infer(BATCH)
    assert set(outputs) == {"classes"}
    assert outputs["classes"].dtype == np.uint8
    np.testing.assert_array_equal(outputs["classes"], BATCH.argmax(axis=3))


def test_a_recording_gives_it_back(tmp_path: Path) -> None:
    with Recorder(load(save(tiny_segmenter(), tmp_path), size=(64, 32)), tmp_path / "tiny.npz") as engine:
        first = engine.infer(BATCH)
    with load(tmp_path / "tiny.npz") as engine:
        np.testing.assert_array_equal(engine.infer(BATCH)["classes"], first["classes"])


def test_a_class_without_a_label_is_refused(tmp_path: Path) -> None:
    with (
        load(save(tiny_segmenter(colours=2), tmp_path), size=(64, 32)) as engine,
        pytest.raises(ModelRefused, match="`classes` goes up to 2, but there are 2 labels"),
    ):
        engine.infer(BATCH)


def test_a_detector_that_calls_itself_a_segmenter_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    [task] = [prop for prop in model.metadata_props if prop.key == "watchline.task"]
    task.value = "segment"
    with pytest.raises(ModelRefused, match="no output `classes`, but `boxes`, `scores`; expected `classes`"):
        load(save(model, tmp_path))


def test_classes_of_another_type_are_refused(tmp_path: Path) -> None:
    model = tiny_segmenter()
    model.graph.node[-1].attribute[0].i = model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(ModelRefused, match="`classes` is int64; expected uint8"):
        load(save(model, tmp_path))


def test_the_detector_stage_refuses_it(tmp_path: Path) -> None:
    path = save(tiny_segmenter(), tmp_path)
    with pytest.raises(ConfigError, match="its task is 'segment': the detector needs 'detect'"):
        Detector(model=str(path)).load()
