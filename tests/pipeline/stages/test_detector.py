"""The detector stage: what it says of itself, and that its workers share one model."""

import json
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_classifier, tiny_detector, tiny_masker
from pycocotools import mask as coco

from watchline import Annotate, Detector, Files, FileSource, Job, Stage, engines
from watchline.engines import metadata
from watchline.engines.replay import Recorder
from watchline.errors import SettingsError
from watchline.ops.errors import LibraryMissing
from watchline.ops.selective_search import proposals, searched
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.stages.modelled import prepared
from watchline.settings import settings
from watchline.streams.frame import ArrayPicture, Frame

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "events.schema.json").read_text())


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


@pytest.mark.parametrize("roi", [(16, 8, 48, 40), (0.25, 8 / 48, 0.75, 40 / 48)])
@pytest.mark.parametrize("make", [tiny_detector, tiny_masker])
def test_a_region_is_looked_at_alone_and_boxes_are_those_of_the_picture(make, roi, tmp_path):
    """What is found is that of the crop, where it stands in the picture; other streams see all of theirs."""
    onnx.save(make(), tmp_path / "tiny.onnx")
    pixels = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)
    crop = ArrayPicture(pixels[8:40, 16:48].copy())
    frame = Frame("gate", 0, 0, Fraction(1, 25), ArrayPicture(pixels))
    stage = Detector(model=str(tmp_path / "tiny.onnx"), conf=0, streams={"gate": {"roi": roi}})
    items = [Item(frame), Item(replace(frame, stream="a", picture=crop)), Item(replace(frame, stream="b"))]
    with stage.open() as work:
        seen, alone, whole = (item.detections for item in work(items))
    assert len(seen)
    np.testing.assert_allclose(seen.xyxy, alone.xyxy + np.float32([16, 8, 16, 8]), atol=1e-3)
    assert (seen.confidence == alone.confidence).all()
    assert len(whole) != len(seen) or (whole.xyxy != seen.xyxy).any()
    if alone.masks is not None:
        assert (seen.mask[:, 8:40, 16:48] == alone.mask).all()
        assert seen.mask.sum() == alone.mask.sum()


@pytest.mark.parametrize(
    ("roi", "says"),
    [
        ((0.5, 0, 0.5, 1), r"roi is \[0.5, 0.0, 0.5, 1.0\]: expected x1 < x2 and y1 < y2"),
        ((0.5, 0, 90, 90), "roi has 0.5 and 90: expected pixels, or shares"),
        ((-1, 0, 1, 1), "roi"),
        ((0, 0, 1), "roi"),
    ],
)
def test_a_region_that_cannot_be_is_refused(roi, says):
    with pytest.raises(SettingsError, match=says):
        Detector(roi=roi)


def test_a_region_outside_of_the_picture_is_one_line(model):
    frame = Frame("gate", 0, 0, Fraction(1, 25), ArrayPicture(np.zeros((48, 64, 3), np.uint8)))
    with (
        Detector(model=model, roi=(0, 0, 100, 20)).open() as work,
        pytest.raises(StageError, match=r"roi has \[100, 20\]"),
    ):
        work([Item(frame)])


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


def test_a_model_may_ask_for_its_candidates_to_be_merged(model, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    graph = onnx.load(model)
    metadata.write(graph, replace(metadata.of(graph, "tiny"), candidates="merge"))
    onnx.save(graph, tmp_path / "merged.onnx")
    kept, merged = (
        {tuple(box) for box in looked(Detector(model=str(name), imgsz=64, conf=0.0, iou=0.0), picture).xyxy.tolist()}
        for name in (model, tmp_path / "merged.onnx")
    )
    candidates = looked(Detector(model=model, imgsz=64, conf=0.0, iou=1.0), picture).xyxy.tolist()
    assert kept <= set(map(tuple, candidates))
    assert merged - set(map(tuple, candidates))  # averages, which no candidate was


def test_a_model_that_takes_proposals_gets_those_of_selective_search(tmp_path):
    pytest.importorskip("skimage")
    onnx.save(tiny_classifier(40), tmp_path / "regions.onnx")
    picture = squares(300, 200)
    scale = np.array([300 / 256, 200 / 171] * 2)  # 256 x 171 pixels are searched
    wanted = proposals(np.asarray(cv2.resize(picture, searched((300, 200))), np.uint8), 40) * scale
    found = looked(Detector(model=str(tmp_path / "regions.onnx"), imgsz=64, iou=1.0), picture)
    assert len(found) > 20
    assert np.abs(found.xyxy[:, None] - wanted).max(-1).min(1).max() < 0.01


def test_without_the_library_of_the_proposals_nothing_begins(tmp_path, monkeypatch):
    onnx.save(tiny_classifier(40), tmp_path / "regions.onnx")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(LibraryMissing, match=r"superpixels need scikit-image: pip install '\.\[proposals\]'"):
        Detector(model=str(tmp_path / "regions.onnx")).check()


def squares(width=200, height=140):
    """Grey with a red square, taken for a person, and a blue one at the right edge, taken for a car."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:75, 50:125] = (0, 0, 255)
    picture[75:125, 150:] = (255, 0, 0)
    return picture


def looked(stage, picture):
    with stage.open() as work:
        [item] = work([Item(Frame("x", 0, 0, Fraction(1), ArrayPicture(picture)))])
    return item.detections


def test_masks_lie_in_their_boxes_in_pixels_of_the_picture(tmp_path):
    """The tiny masker says that the lower left half of each box belongs to the object."""
    onnx.save(tiny_masker(), tmp_path / "tiny.onnx")
    found = looked(Detector(model=str(tmp_path / "tiny.onnx"), imgsz=64), squares())
    assert set(found.names) == {"person", "car"}
    assert found.masks.size == (140, 200)
    y, x = np.mgrid[:140, :200] + 0.5
    for (x1, y1, x2, y2), mask in zip(found.xyxy.tolist(), found.mask, strict=True):
        triangle = (x > x1) & (x < x2) & (y > y1) & (y < y2) & ((x - x1) / (x2 - x1) < (y - y1) / (y2 - y1))
        assert (triangle & mask).sum() > 0.7 * (triangle | mask).sum()
    people = Detector(model=str(tmp_path / "tiny.onnx"), imgsz=64, classes=("person",))
    alone = looked(people, squares())
    np.testing.assert_array_equal(alone.mask, found.mask[found.names == "person"])
    nothing = looked(people, np.full((70, 90, 3), 90, np.uint8))
    assert (len(nothing), nothing.masks.size) == (0, (70, 90))


def test_a_detector_without_masks_gives_none(model):
    assert looked(Detector(model=model, imgsz=64), squares()).masks is None


def test_masks_are_the_same_from_a_recording(tmp_path):
    onnx.save(tiny_masker(), tmp_path / "tiny.onnx")
    live = looked(Detector(model=str(tmp_path / "tiny.onnx"), imgsz=64), squares())
    with Recorder(engines.load(tmp_path / "tiny.onnx", None, (64, 64)), tmp_path / "run.npz") as engine:
        _, batch = prepared(engine, [ArrayPicture(squares())])
        engine.infer(batch)
    again = looked(Detector(model=str(tmp_path / "run.npz")), squares())
    assert again.to_dicts() == live.to_dicts()
    assert all("segmentation" in one for one in again.to_dicts())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("place", ["thread", "process"])
def test_events_have_coco_s_run_lengths(tmp_path, place):
    """A line is as the published schema says, and pycocotools reads the masks that the detector gave."""
    onnx.save(tiny_masker(), tmp_path / "tiny.onnx")
    clip = write_clip(tmp_path / "a.mp4", 3, size=(200, 140), draw=lambda _: squares())
    stage = Detector(model=str(tmp_path / "tiny.onnx"), imgsz=64, workers=1)
    stages = [stage if place == "thread" else placed(stage, Place("process"))]
    work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / "out", None)]))
    list(work.run())
    [_, *lines, _] = map(json.loads, (tmp_path / "out" / "a.jsonl").read_text().splitlines())
    assert len(lines) == 3
    jsonschema.validate(lines[0], SCHEMA)
    with FileSource(clip).open() as reader, stage.open() as work:
        [item] = work([Item(next(iter(reader)))])
    expected = item.detections
    assert len(expected) > 0
    outlines = [one["segmentation"] for one in lines[0]["detections"]]
    np.testing.assert_array_equal(coco.decode(outlines).transpose(2, 0, 1).astype(bool), expected.mask)


@pytest.mark.parametrize(
    ("settings", "there"),
    [({}, False), ({"runtime": "openvino"}, False), ({"runtime": "cuda"}, True), ({"runtime": "tensorrt"}, True)],
)
def test_it_is_known_where_the_engine_computes(settings, there):
    """`bench fps` would take the processor for the limit of a GPU."""
    assert Detector(**settings).is_on_gpu is there
