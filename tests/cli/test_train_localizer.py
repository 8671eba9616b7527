"""`watchline train localizer`: from photos with one object each to a model that finds it in the pipeline."""

import json
import re

import own_sets
from cli.shell import within


def test_it_trains_is_exported_and_finds_the_object(tmp_path):
    pictures = own_sets.pictures(8)
    splits = {"train": dict(list(pictures.items())[:6]), "val": dict(list(pictures.items())[6:])}
    own_sets.yolo(tmp_path / "set", splits)
    words = ("train", "localizer", "--data", "set/data.yaml", "--out", "run", "--threads", "1")
    done = within(tmp_path, *words, "--steps", "60", "--batch", "8")
    assert done.code == 0, done.err
    assert "6 pictures with one object, of cup, person; 2 to measure on" in done.out
    assert any(re.fullmatch(r"top-5 \d\.\d+  top-1 \d\.\d+  class 1\.000", line) for line in done.out), done.out
    assert done.out[-1] == "run/checkpoint.pt: done, 60 steps; watchline export run/checkpoint.pt -o localizer.onnx"
    made = within(tmp_path, "export", "run/checkpoint.pt", "-o", "localizer.onnx")
    assert made.code == 0, made.err
    found = within(tmp_path, "annotate", "set/images/val", "--model", "localizer.onnx", "--out", "seen", "--no-video")
    assert found.code == 0, found.err
    lines = [json.loads(line) for line in next((tmp_path / "seen").glob("*.jsonl")).read_text().splitlines()]
    labels = [one["label"] for line in lines for one in line.get("detections", [])]
    assert labels == ["cup", "person"]


def test_options_of_others_and_data_without_such_photos_are_refused(tmp_path):
    both = {"00": [*own_sets.boxes(0), *own_sets.boxes(1)], "01": [*own_sets.boxes(0), *own_sets.boxes(1)]}
    own_sets.yolo(tmp_path / "set", {"train": both})
    done = within(tmp_path, "train", "localizer", "--data", "set/data.yaml", "--out", "run")
    assert done.code != 0
    assert "has exactly one object: expected some" in done.err[-1]
    done = within(tmp_path, "train", "yolov2", "--data", "set/data.yaml", "--out", "run", "--boxes", "agnostic")
    assert done.code != 0
    assert "--boxes goes with localizer, not with yolov2" in done.err[-1]
