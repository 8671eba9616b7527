"""`watchline bench map` on pictures in CamVid's layout."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from class_map_set import coloured
from cli.shell import within
from models_onnx import save, tiny_detector, tiny_segmenter


def test_it_prints_a_row_a_class(tmp_path: Path) -> None:
    data, model = coloured(tmp_path / "streets"), save(tiny_segmenter(), tmp_path)
    done = within(tmp_path, "bench", "map", "--data", data, "--model", model, "--imgsz", "64x32", "--json", "f.json")
    assert done.code == 0, done.err
    assert done.out[1].split() == ["IoU", "95", "%", "of", "IoU", "pixels"]
    assert [line.split()[0] for line in done.out[2:6]] == ["blue", "green", "red", "mean"]
    assert "one confusion matrix over 2 pictures of streets val" in done.out[-2]
    [model] = json.loads((tmp_path / "f.json").read_text())["models"]
    assert model["mean_iou"] == pytest.approx(np.mean([c["iou"] for c in model["classes"].values()]))
    low, high = model["figures"]["mean"]["IoU"]["interval"]
    assert low <= model["mean_iou"] <= high


def test_a_report_says_more(tmp_path: Path) -> None:
    data, model = coloured(tmp_path / "streets"), save(tiny_segmenter(), tmp_path)
    words = ("--data", data, "--model", model, "--imgsz", "64x32", "--report", "r.html", "--json", "f.json")
    done = within(tmp_path, "bench", "map", *words)
    assert done.code == 0, done.err
    assert done.out[-1] == "intervals: 1000 samples of the pictures, seed 0"
    html = (tmp_path / "r.html").read_text()
    assert "one confusion matrix over 2 pictures of streets val" in html
    assert "tiny at 64 x 32" in html
    [figures] = json.loads((tmp_path / "f.json").read_text())["models"]
    assert figures["confusion"]["labels"] == ["blue", "green", "red"]
    assert [one["picture"] for one in figures["worst"]] in (["a.png", "b.png"], ["b.png", "a.png"])
    refused = within(tmp_path, "bench", "map", *words, "--report", "nowhere/r.html")
    assert (refused.code, refused.out) == (2, [])
    assert "in a folder that can be written to" in refused.err[-1]


def test_two_stand_side_by_side(tmp_path: Path) -> None:
    data, model = coloured(tmp_path / "streets"), save(tiny_segmenter(), tmp_path)
    words = ("bench", "map", "--data", data, "--model", model, "--model", model, "--imgsz", "64x32")
    done = within(tmp_path, *words)
    assert done.code == 0, done.err
    assert done.out[-3].split()[3:] == ["+0.0000", "+0.000", "to", "+0.000", "100%"]
    refused = within(tmp_path, *words, "--predictions", "p.jsonl")
    assert (refused.code, refused.out) == (2, [])
    assert "holds class maps, of which models alone are judged" in refused.err[-1]
    refused = within(tmp_path, *words, "--rule", "coco")
    assert "--rule: it has no meaning for class maps" in refused.err[-1]


def test_more_cores_than_settings_may_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    data, model = coloured(tmp_path / "streets"), save(tiny_segmenter(), tmp_path)
    assert within(tmp_path, "bench", "map", "--data", data, "--model", model, "--imgsz", "64x32").code == 0


def test_a_precision_that_the_model_does_not_ship_in_is_refused(tmp_path: Path) -> None:
    done = within(tmp_path, "bench", "map", "--data", coloured(tmp_path / "s"), "--precision", "int8")
    assert (done.code, done.out) == (2, [])
    assert "INT8" in done.err[-1]


def test_a_detector_is_refused_in_a_line(tmp_path: Path) -> None:
    done = within(
        tmp_path, "bench", "map", "--data", coloured(tmp_path / "s"), "--model", save(tiny_detector(), tmp_path)
    )
    assert done.code == 2
    assert "its task is 'detect'" in done.err[-1]
