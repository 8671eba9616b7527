"""The detector stage: what it says of itself, and that its workers share one model."""

import json
import re
from fractions import Fraction

import numpy as np
import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_detector

from watchline import Annotate, Detector, Files, FileSource, Job, Stage, engines
from watchline.pipeline.message import Item
from watchline.settings import settings
from watchline.streams.frame import ArrayPicture, Frame


@pytest.fixture
def model(tmp_path):
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return str(tmp_path / "tiny.onnx")


def header_of(stages, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", 5)
    work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / "out", None, overwrite=True)]))
    list(work.run())
    assert [outcome.error for outcome in work.outcomes] == [None]
    [header, *lines, _] = map(json.loads, (tmp_path / "out" / "a.jsonl").read_text().splitlines())
    assert len(lines) == 5
    return header["header"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_header_says_what_ran(model, runtime, tmp_path):
    header = header_of([Detector(model=model, runtime=runtime, imgsz=(64, 48))], tmp_path)
    assert re.match(rf"{runtime} \d+\.\d+", header["model"].pop("runtime"))
    assert header["model"] == {
        "name": "tiny",
        "checkpoint": "0" * 64,
        "size": [64, 48],
        "labels": ["person", "bicycle", "car"],
    }


def test_a_stage_that_is_no_detector_says_what_runs_in_it(model, tmp_path):
    """The header asks the stages, and knows none of them."""

    @settings
    class Tracker(Stage):
        name = "tracker"

        def open(self):
            from contextlib import nullcontext

            from watchline.pipeline.stages.stage import Plain

            return nullcontext(Plain(list, {"motion": "kalman"}))

    header = header_of([Detector(model=model, imgsz=64), Tracker()], tmp_path)
    assert header["stages"] == {"tracker": {"motion": "kalman"}}
    assert header["model"]["name"] == "tiny"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_three_workers_load_the_model_once(model, runtime, tmp_path, monkeypatch):
    loads, forks = [], []
    load = engines.load

    def counted(*args, **given):
        loads.append(args)
        engine = load(*args, **given)
        fork = engine.fork
        monkeypatch.setattr(engine, "fork", lambda: forks.append(fork()) or forks[-1])
        return engine

    monkeypatch.setattr(engines, "load", counted)
    header_of([Detector(model=model, runtime=runtime, imgsz=64, workers=3)], tmp_path)
    assert (len(loads), len(forks)) == (1, 2)


def test_three_workers_parse_the_model_once(model, tmp_path, monkeypatch):
    import onnxruntime

    sessions, session = [], onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: sessions.append(a) or session(*a, **k))
    header_of([Detector(model=model, runtime="onnxruntime", imgsz=64, workers=3)], tmp_path)
    assert [path for path, *_ in sessions] == [model]


def test_the_header_says_which_classes_of_a_box_are_shown(model, tmp_path):
    shown = header_of([Detector(model=model, imgsz=64, agnostic=True, several=True)], tmp_path)["config"]
    assert shown == {"conf": 0.25, "iou": 0.45, "classes": [], "every": 1, "agnostic": True, "several": True}
    assert header_of([Detector(model=model, imgsz=64)], tmp_path)["config"].keys() == {
        "conf",
        "iou",
        "classes",
        "every",
    }


@pytest.mark.parametrize(("several", "agnostic", "most"), [(True, False, 3), (False, False, 1), (True, True, 1)])
def test_a_place_has_one_class_or_several(model, several, agnostic, most):
    """Some place of a noisy picture scores for several classes of the tiny model."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    item = Item(Frame("x", 0, 0, Fraction(1), ArrayPicture(picture)))
    stage = Detector(model=model, imgsz=64, conf=0.0, iou=0.99, several=several, agnostic=agnostic)
    with stage.open() as work:
        [found] = work([item])
    boxes = [tuple(box) for box in found.detections.xyxy.tolist()]
    assert max(map(boxes.count, boxes)) == most
