"""`watchline train rcnn` and `fast-rcnn`: from photos to a model that classifies what Selective Search proposes."""

import json

import numpy as np
import own_sets
import pytest
from cli.shell import within

from watchline.ops.boxes import iou
from watchline.train import fast_rcnn, rcnn

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def detections_in(folder):
    lines = [json.loads(line) for line in next(folder.glob("*.jsonl")).read_text().splitlines()]
    return [line["detections"] for line in lines if "detections" in line]


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
    for ((label, *box),), found in zip(map(own_sets.boxes, (8, 9)), detections_in(tmp_path / "seen"), strict=True):
        best = max(found, key=lambda one: one["score"])
        assert best["label"] == label
        assert iou(np.array([best["box"]], np.float32), np.array([box], np.float32)).item() >= 0.5


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
    assert len(detections_in(tmp_path / "seen")[0]) > 5


def test_options_that_do_not_go_with_them_are_refused(tmp_path):
    own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(3)})
    for words, told in (
        (("rcnn", "--steps", "5"), "--steps: R-CNN's SVMs are solved, not trained step by step"),
        (("fast-rcnn", "--steps", "5", "--epochs", "2"), "--steps and --epochs: name one of them"),
        (("fast-rcnn", "--recipe", "my.toml", "--epochs", "2"), "--epochs does not go with --recipe"),
        (("rcnn", "--epochs", "2"), "--epochs goes with"),
    ):
        done = within(tmp_path, "train", *words, "--data", "set/data.yaml", "--out", "run")
        assert done.code != 0
        assert told in done.err[-1]


def test_a_recipe_s_seed_draws_the_split_and_notes_are_shown(tmp_path, monkeypatch):
    """Data without a split is split by the seed that the run has, also where a file gives it."""
    own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(10)})
    (tmp_path / "seed.toml").write_text("[train]\nseed = 5\n")
    learnt = []

    def train(data, *rest):
        learnt.append([file.path.name for file in data.train])
        return iter(())

    for module in (fast_rcnn, rcnn):
        monkeypatch.setattr(module, "train", train)
    for model in ("rcnn", "fast-rcnn"):
        for words in (("--recipe", "seed.toml"), ("--seed", "5"), ("--seed", "6")):
            done = within(tmp_path, "train", model, "--data", "set/data.yaml", "--out", "run", *words)
            assert done.code == 0, done.err
            assert any(line.startswith("note: ") for line in done.out)
    for filed, asked, other in (learnt[:3], learnt[3:]):
        assert filed == asked != other
