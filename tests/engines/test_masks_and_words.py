"""Models that give masks, and models that give words, by every runtime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from models_onnx import WORDS, save, tiny_captioner, tiny_detector, tiny_masker

from watchline.engines import load, metadata
from watchline.engines.errors import ModelRefused
from watchline.engines.replay import Recorder

BATCH = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
RUNTIMES = pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])


@RUNTIMES
def test_each_box_has_a_mask(tmp_path: Path, runtime: str) -> None:
    with load(save(tiny_masker(), tmp_path), runtime, (64, 32)) as engine:
        engine.warm_up()
        outputs = engine.infer(BATCH)
    expected = outputs["scores"].max(axis=2)[:, :, None, None] * np.tri(8, dtype=np.float32)
    np.testing.assert_allclose(outputs["masks"], expected, atol=1e-6)


def test_a_recording_has_the_masks_too(tmp_path: Path) -> None:
    with Recorder(load(save(tiny_masker(), tmp_path), size=(64, 32)), tmp_path / "tiny.npz") as engine:
        first = engine.infer(BATCH)
    with load(tmp_path / "tiny.npz") as engine:
        np.testing.assert_array_equal(engine.infer(BATCH)["masks"], first["masks"])


def test_a_detector_without_masks_is_no_model_of_instances(tmp_path: Path) -> None:
    model = tiny_detector()
    [task] = [prop for prop in model.metadata_props if prop.key == "watchline.task"]
    task.value = "instances"
    with pytest.raises(ModelRefused, match="no output `masks`, but `boxes`, `scores`"):
        load(save(model, tmp_path))


def test_masks_that_are_logits_are_refused(tmp_path: Path) -> None:
    model = tiny_masker()
    [corner] = [weight for weight in model.graph.initializer if weight.name == "corner"]
    corner.CopyFrom(onnx.numpy_helper.from_array(np.full((8, 8), 1e3, np.float32), "corner"))
    red = np.zeros_like(BATCH)
    red[..., 2] = 255
    with (
        load(save(model, tmp_path), size=(64, 32)) as engine,
        pytest.raises(ModelRefused, match=r"`masks` lie in .*the sigmoid belongs inside"),
    ):
        engine.infer(red)


@RUNTIMES
def test_a_picture_has_its_words(tmp_path: Path, runtime: str) -> None:
    batch = np.zeros((2, 32, 64, 3), np.uint8)
    batch[0, ..., 2] = batch[1, ..., 1] = 200
    with load(save(tiny_captioner(), tmp_path), runtime) as engine:
        assert engine.size == (64, 32)  # its own size is not a square
        outputs = engine.infer(batch)
    assert [[WORDS[number] for number in row[0]] for row in outputs["words"]] == [
        ["a", "red", "picture", "<end>"],
        ["a", "green", "picture", "<end>"],
    ]
    np.testing.assert_allclose(outputs["scores"], [[-0.5, -1.5]] * 2)


def test_words_without_a_label_are_refused(tmp_path: Path) -> None:
    model = tiny_captioner()
    about = metadata.read(save(model, tmp_path))
    [labels] = [prop for prop in model.metadata_props if prop.key == "watchline.labels"]
    labels.value = str(list(about.labels[:-1])).replace("'", '"')
    with (
        load(save(model, tmp_path)) as engine,
        pytest.raises(ModelRefused, match="`words` go from 0 to 5, but there are 5 labels"),
    ):
        engine.warm_up()


@pytest.mark.parametrize(
    ("imgsz", "why"),
    [
        ("[64]", "expected a side, or width and height"),
        ("[64, 32.5]", "expected a side, or width and height"),
        ("[64, true]", "expected a side, or width and height"),
        ("[64, 30]", "expected a multiple of 8"),
        ("64, 32", "expected a whole number"),
    ],
)
def test_a_size_is_a_side_or_width_and_height(tmp_path: Path, imgsz: str, why: str) -> None:
    model = tiny_captioner()
    [size] = [prop for prop in model.metadata_props if prop.key == "watchline.imgsz"]
    size.value = imgsz
    with pytest.raises(ModelRefused, match=why):
        metadata.read(save(model, tmp_path))
