"""`watchline.segment` and `watchline.caption`, with real clips and tiny real models. `detect` has a file of its own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_captioner, tiny_detector, tiny_masker, tiny_segmenter

import watchline
from watchline.errors import SettingsError
from watchline.pipeline.caption import CaptionerSettings
from watchline.pipeline.errors import ConfigError, NoStage
from watchline.pipeline.segment import SegmenterSettings
from watchline.pipeline.track import TrackerSettings

SIZE = (128, 64)


def red_square(index):
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:32, 8 * index : 8 * index + 16] = (0, 0, 255)
    return image


@pytest.fixture
def folder(tmp_path):
    onnx.save(tiny_segmenter(), tmp_path / "classes.onnx")
    onnx.save(tiny_masker(), tmp_path / "masks.onnx")
    onnx.save(tiny_detector(), tmp_path / "boxes.onnx")
    onnx.save(tiny_captioner(), tmp_path / "words.onnx")
    write_clip(tmp_path / "walk.mp4", 6, SIZE, draw=red_square)
    return tmp_path


def test_classes_of_pixels(folder):
    seen = list(watchline.segment(folder / "walk.mp4", model=folder / "classes.onnx", imgsz=SIZE, every=2))
    assert [frame.index for frame, _ in seen] == [0, 2, 4]
    for frame, areas in seen:
        assert isinstance(areas, watchline.ClassMap)
        np.testing.assert_array_equal(areas.classes, frame.image.argmax(axis=2))


def test_objects_with_masks(folder):
    for _, people in watchline.segment(folder / "walk.mp4", model=folder / "masks.onnx", classes=["person"]):
        assert isinstance(people, watchline.Detections)
        assert set(people.names) <= {"person"}
        assert people.masks.size == (64, 128)


def test_objects_of_a_detector(folder):
    detector = watchline.Detector(model=str(folder / "boxes.onnx"), imgsz=SIZE, classes=("person",))
    segmenter = watchline.Segmenter(model=str(folder / "masks.onnx"), objects=("person",), imgsz=(8, 8))
    seen = list(watchline.segment(folder / "walk.mp4", segmenter, detector=detector))
    assert len(seen) == 6
    assert sum(len(found) for _, found in seen)
    assert all(found.mask.shape == (len(found), 64, 128) for _, found in seen)


def test_captions_come_once(folder):
    settings = {"model": folder / "words.onnx", "on_change": False, "interval": 0.07}
    seen = [(frame.index, said.frame, said.text) for frame, said in watchline.caption(folder / "walk.mp4", **settings)]
    assert seen == [(0, 0, "a red picture"), (2, 2, "a red picture"), (4, 4, "a red picture")]


def test_one_array_has_one_caption(folder):
    [(_, said)] = watchline.caption(red_square(3), model=folder / "words.onnx")
    assert said.text == "a red picture"


@pytest.mark.parametrize(
    ("stage", "typed"),
    [
        (watchline.Segmenter, SegmenterSettings),
        (watchline.Captioner, CaptionerSettings),
        (watchline.Tracker, TrackerSettings),
    ],
)
def test_every_setting_has_a_keyword(stage, typed):
    assert set(typed.__annotations__) == set(stage.__pydantic_fields__) - {"streams"}


def test_tracks_of_what_cannot_be_are_refused_at_once(folder):
    with pytest.raises(SettingsError, match="unknown setting 'memry'"):
        watchline.track(folder / "walk.mp4", memry=3)
    with pytest.raises(NoStage, match="detector is of type str: expected a Detector"):
        watchline.track(folder / "walk.mp4", detector="yolo")


@pytest.mark.parametrize("look", [watchline.segment, watchline.caption])
def test_what_cannot_be_is_said_at_once(look, folder):
    clip = folder / "walk.mp4"
    with pytest.raises(SettingsError, match="unknown setting 'modell'"):
        look(clip, modell="a.onnx")
    with pytest.raises(ConfigError, match="latency_budget is 0"):
        look(clip, latency_budget=0)
    with pytest.raises(NoStage, match="is of type Detector: expected a"):
        look(clip, watchline.Detector())
    with pytest.raises(NoStage, match="detector is of type str: expected a Detector"):
        look(clip, detector="yolo", objects=["person"])
    with pytest.raises(NoStage, match="a detector is for objects"):
        look(clip, detector=watchline.Detector())
    with pytest.raises(watchline.WatchlineError, match=r"walk\.mp5"):
        look(Path("walk.mp5"))
