"""`watchline train rcnn` and `fast-rcnn`: from photos to a model that classifies what Selective Search proposes."""

import json

import own_sets
import pytest
from cli.shell import within

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def labels_in(folder):
    lines = [json.loads(line) for line in next(folder.glob("*.jsonl")).read_text().splitlines()]
    return [[one["label"] for one in line["detections"]] for line in lines if "detections" in line]


@pytest.mark.slow
def test_rcnn_trains_is_exported_and_finds_the_objects(tmp_path):
    pictures = own_sets.pictures(10)
    splits = {"train": dict(list(pictures.items())[:8]), "val": dict(list(pictures.items())[8:])}
    own_sets.yolo(tmp_path / "set", splits)
    done = within(tmp_path, "train", "rcnn", "--data", "set/data.yaml", "--out", "run", "--threads", "1")
    assert done.code == 0, done.err
    assert "2 classes: cup, person; 8 pictures" in done.out
    assert any(line.startswith("round 1 of the SVMs: ") for line in done.out)
    assert done.out[-1] == "run/checkpoint.pt: done; watchline export run/checkpoint.pt -o rcnn.onnx"
    made = within(tmp_path, "export", "run/checkpoint.pt", "-o", "rcnn.onnx")
    assert made.code == 0, made.err
    words = ("annotate", "set/images/val", "--model", "rcnn.onnx", "--out", "seen", "--no-video", "--iou", "0.3")
    found = within(tmp_path, *words)
    assert found.code == 0, found.err
    for (truth, *_), labels in zip(map(own_sets.boxes, (8, 9)), labels_in(tmp_path / "seen"), strict=True):
        assert truth[0] in labels


@pytest.mark.slow
def test_fast_rcnn_trains_and_its_model_runs(tmp_path):
    pictures = own_sets.pictures(4)
    own_sets.yolo(tmp_path / "set", {"train": dict(list(pictures.items())[:3]), "val": {"03": pictures["03"]}})
    words = ("train", "fast-rcnn", "--data", "set/data.yaml", "--out", "run", "--threads", "1", "--batch", "2")
    done = within(tmp_path, *words, "--steps", "2")
    assert done.code == 0, done.err
    assert done.out[-1] == "run/checkpoint.pt: done, 2 steps; watchline export run/checkpoint.pt -o fast-rcnn.onnx"
    made = within(tmp_path, "export", "run/checkpoint.pt", "-o", "fast-rcnn.onnx")
    assert made.code == 0, made.err
    words = ("annotate", "set/images/val", "--model", "fast-rcnn.onnx", "--out", "seen", "--no-video", "--conf", "0")
    found = within(tmp_path, *words)
    assert found.code == 0, found.err
    assert len(labels_in(tmp_path / "seen")[0]) > 5


def test_options_that_do_not_go_with_them_are_refused(tmp_path):
    own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(3)})
    for words, told in (
        (("rcnn", "--steps", "5"), "--steps: R-CNN's SVMs are solved, not trained step by step"),
        (("fast-rcnn", "--steps", "5", "--epochs", "2"), "--steps and --epochs: name one of them"),
        (("rcnn", "--epochs", "2"), "--epochs goes with"),
    ):
        done = within(tmp_path, "train", *words, "--data", "set/data.yaml", "--out", "run")
        assert done.code != 0
        assert told in done.err[-1]
