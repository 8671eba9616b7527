"""`watchline bench map`: the table, the JSON, and what is refused."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import models_onnx
import numpy as np
import pytest
import voc_set
from cli.shell import Done, within
from voc_set import thing

from watchline.engines import cpu


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model and a data set `cells`: of three persons two are found, and a walrus nobody knows."""
    models_onnx.save(models_onnx.tiny_detector(), tmp_path)
    cells = tmp_path / "cells"
    voc_set.add(cells, "a", [("person", 1, 1), ("person", 5, 5)], [thing("person", c, c) for c in (1, 3, 5)])
    voc_set.add(cells, "b", [], [thing("walrus", 1, 1), thing("car", 1, 1, "1")])
    voc_set.add(cells, "c", [("bicycle", 1, 1)])
    voc_set.split(cells, "val", ["a", "b"])
    voc_set.split(cells, "train", ["c"])
    return tmp_path


def bench(folder: Path, *words: str) -> Done:
    return within(folder, "bench", "map", "--data", "cells", "--model", "tiny.onnx", "--iou-threshold", "0.3", *words)


def test_a_table_that_says_what_it_is_of(folder: Path) -> None:
    done = bench(folder)
    assert done.code == 0
    rows = [line.split() for line in done.out]
    assert rows[0][:5] == ["tiny.onnx:", "tiny", "at", "64", "x"]
    assert rows[1] == ["AP", "95", "%", "of", "AP", "objects"]
    assert rows[2:4] == [["car", "-", "-", "0"], ["person", "0.6667", "0.667", "to", "0.667", "3"]]
    assert rows[4] == ["mean", "0.6667", "0.667", "to", "0.667", "3"]
    assert done.out[5].startswith("mAP at IoU 0.3 over 1 classes on 2 pictures of cells val (area under")
    assert done.out[6] == "intervals: 1000 samples of the pictures, seed 0"
    assert done.out[7] == "left out, as a model has no label for them: walrus"
    assert done.err == []


def test_the_same_as_json(folder: Path) -> None:
    done = bench(folder, "--rule", "voc2007", "--bootstrap", "0", "--json", "figures.json")
    assert done.code == 0
    figures = json.loads((folder / "figures.json").read_text())
    [model] = figures["models"]
    assert model["boxes"]["mean"] == {"AP": {"value": pytest.approx(7 / 11)}}
    assert model["boxes"]["classes"] == {
        "car": {"AP": {"value": None}},
        "person": {"AP": {"value": pytest.approx(7 / 11)}},
    }
    told = {name: figures[name] for name in ("data", "layout", "split", "pictures", "every", "rule", "iou_threshold")}
    assert told == {
        "data": "cells",
        "layout": "VOC",
        "split": "val",
        "pictures": 2,
        "every": 1,
        "rule": "voc2007",
        "iou_threshold": 0.3,
    }
    assert (figures["objects"], figures["unknown_classes"]) == ({"car": 0, "person": 3}, ["walrus"])
    assert (model["name"], model["model"]["name"], figures["cpu"]) == ("tiny.onnx", "tiny", cpu.kind())
    assert "onnxruntime" in model["model"]["runtime"]


def test_several_models_stand_side_by_side(folder: Path) -> None:
    """A model that finds nothing, as all its boxes are suppressed by its score."""
    done = bench(folder, "--model", "tiny.onnx", "--bootstrap", "50")
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out[:2]] == ["tiny.onnx", "tiny.onnx #2"]
    assert done.out[4].split() == ["person", "0.6667", "0.6667", "+0.0000", "+0.000", "to", "+0.000", "3"]


def test_saved_predictions_have_the_same_figures_without_a_model(folder: Path) -> None:
    done = bench(folder, "--save-predictions", "saved.jsonl")
    words = ("bench", "map", "--data", "cells", "--predictions", "saved.jsonl", "--iou-threshold", "0.3")
    again = within(folder, *words)
    assert (done.code, again.code) == (0, 0)
    assert again.out[0] == "saved.jsonl: 2 pictures, as they were saved"
    assert again.out[1:5] == done.out[1:5]
    refused = within(folder, *words, "--split", "train")
    assert refused.code == 2
    assert "saved.jsonl has no line for c: expected one for each picture that is measured" in refused.err[-1]


def test_a_report_and_plots_say_more(folder: Path) -> None:
    done = bench(folder, "--report", "r.html", "--plots", "plots", "--json", "figures.json", "--bootstrap", "20")
    assert done.code == 0, done.err
    html = (folder / "r.html").read_text()
    assert "mAP at IoU 0.3 over 1 classes on 2 pictures" in html
    assert "data:image/jpeg;base64," in html
    assert [file.name for file in (folder / "plots").iterdir()] == ["00-person.png"]
    [model] = json.loads((folder / "figures.json").read_text())["models"]
    assert model["mistakes"]["errors"]["missed"]["count"] == 1
    assert model["mistakes"]["confusion"]["matrix"][1] == [0, 2, 1]  # of three persons
    assert model["curves"]["person"] == {"recall": [pytest.approx(1 / 3), pytest.approx(2 / 3)], "precision": [1, 1]}


def test_what_annotate_wrote_can_be_judged(folder: Path) -> None:
    words = (
        "--model",
        "tiny.onnx",
        "--no-video",
        "--out",
        "out",
        "--conf",
        "0.01",
        "--name",
        "photos=cells/JPEGImages",
    )
    assert within(folder, "annotate", *words).code == 0
    done = within(
        folder, "bench", "map", "--data", "cells", "--predictions", "out/photos.jsonl", "--iou-threshold", "0.3"
    )
    assert done.code == 0, done.err
    assert done.out[3].split()[:2] == ["person", "0.6667"]


def test_the_stages_of_a_config_are_judged_with_its_settings(folder: Path) -> None:
    (folder / "watchline.toml").write_text('[detector]\nmodel = "tiny.onnx"\nconf = 0.4\nevery = 5\n')
    words = ("bench", "map", "--data", "cells", "--config", "watchline.toml", "--iou-threshold", "0.3")
    done = within(folder, *words)
    assert done.code == 0, done.err
    assert "scores from 0.4" in done.out[0]
    assert done.out[0].endswith("the best class counts")
    assert done.out[3].split()[:2] == ["person", "0.6667"]
    assert "scores from 0.7" in within(folder, *words, "--conf", "0.7").out[0]


@pytest.mark.parametrize(("words", "said"), [((), "all classes count"), (("--per-box", "best"), "best class counts")])
def test_the_classes_of_a_box_that_count_are_told(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = bench(folder, "--json", "figures.json", *words)
    assert done.out[0].endswith(said)
    [model] = json.loads((folder / "figures.json").read_text())["models"]
    assert model["config"].get("several", False) == (not words)


def test_a_split_and_a_class(folder: Path) -> None:
    done = bench(folder, "--split", "all", "--classes", "bicycle", "--every", "2")
    assert done.code == 0
    assert [line.split()[0] for line in done.out[2:4]] == ["bicycle", "mean"]
    assert "on 2 pictures of cells all" in done.out[4]


def test_a_report_that_cannot_be_written_is_one_line(folder: Path, small_disk: Callable[[str], Path]) -> None:
    full = small_disk("4k")
    (full / "rest").write_bytes(b"0" * 4096)
    done = bench(folder, "--json", str(full / "figures.json"))
    assert done.code == 2
    assert "figures.json: it cannot be written (No space left on device); name another place" in done.err[-1]


def test_what_fails_last_loses_nothing_before_it(folder: Path, small_disk: Callable[[str], Path]) -> None:
    full = small_disk("4k")
    (full / "rest").write_bytes(b"0" * 4096)
    done = bench(folder, "--report", str(full / "r.html"), "--plots", "plots", "--save-predictions", "p.jsonl")
    assert done.code == 2
    assert "--report" in done.err[-1]
    assert (folder / "p.jsonl").is_file()
    assert [file.name for file in (folder / "plots").iterdir()] == ["00-person.png"]


def test_predictions_of_two_pictures_of_one_name_are_told_apart(folder: Path) -> None:
    for name in ("day/a.png", "night/a.png", "night/a.bmp"):
        photo = folder / "streets" / "images" / name
        labels = (folder / "streets" / "labels" / name).with_suffix(".txt")
        photo.parent.mkdir(parents=True, exist_ok=True)
        labels.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photo), voc_set.picture([("person", 1, 1)]))
        labels.write_text("0 0.1875 0.1875 0.125 0.125\n")
    (folder / "streets" / "data.yaml").write_text("val: images\nnames: [person]\n")
    words = ("bench", "map", "--data", "streets", "--bootstrap", "0")
    done = within(folder, *words, "--model", "tiny.onnx", "--save-predictions", "p.jsonl")
    again = within(folder, *words, "--predictions", "p.jsonl")
    assert (done.code, again.code) == (0, 0), again.err
    assert _timeless(again.out[1:]) == _timeless(done.out[1:])
    lines = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines[1:]] == ["day/a", "night/a.bmp", "night/a.png"]
    one = within(folder, *words, "--every", "2", "--model", "tiny.onnx", "--save-predictions", "one.jsonl")
    assert (one.code, within(folder, *words, "--every", "2", "--predictions", "one.jsonl").code) == (0, 0)


def _timeless(lines: list[str]) -> list[str]:
    return [re.sub(r"[\d.]+ s$", "", line) for line in lines]


@pytest.mark.parametrize(
    "words",
    [
        ("--conf", "0.3"),
        ("--imgsz", "64"),
        ("--runtime", "onnxruntime"),
        ("--precision", "fp32"),
        ("--threads", "1"),
        ("--per-box", "best"),
        ("--iou", "0.3"),
    ],
)
def test_what_would_change_nothing_is_refused(folder: Path, words: tuple[str, str]) -> None:
    judged = ("bench", "map", "--data", "cells", "--predictions", "saved.jsonl")
    done = within(folder, *judged, *words)
    assert done.code == 2
    assert f"{words[0]}: it has no meaning for predictions, as no model runs" in done.err[-1]


def test_more_cores_than_settings_may_ask_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert bench(folder, "--bootstrap", "0").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--precision", "int9"], "--precision int9: must be one of auto, fp32, int8"),
        (["--split", "tset"], "has no split 'tset': expected one of train, val, all"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
        (["--model", "nothing.onnx"], "nothing.onnx"),
        (["--classes", "persn"], "did you mean 'person'?"),
        (["--iou", "45"], "--iou"),
        (["--iou-threshold", "50"], "expected more than 0 and at most 1"),
        (["--rule", "12-point"], "12-point"),
        (["--json", "nowhere/figures.json"], "in a folder that can be written to"),
        (["--classes", "bicycle"], "expected a class in common"),
        (["--same", "car"], "expected a class and labels, e.g. moving=car,bus"),
        (["--same", "car=lorry"], "unknown class 'lorry'"),
        (["--predictions", "nothing.jsonl"], "nothing.jsonl: there is no such file"),
        (["--config", "nothing.toml"], "nothing.toml: there is no such file"),
        (["--model", "other.onnx", "--save-predictions", "p.jsonl"], "expected one model, not 2"),
        (["--save-predictions", "nowhere/p.jsonl"], "in a folder that can be written to"),
        (["--report", "nowhere/r.html"], "in a folder that can be written to"),
        (["--plots", "tiny.onnx"], "it is not a folder; name one for the plots"),
        (["--rule", "coco"], "--iou-threshold: it has no meaning for COCO's rule, which has ten"),
        (["--conf", "7"], "expected a number in 0..1"),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, words: list[str], says: str) -> None:
    done = bench(folder, *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert done.out == []


def test_masks_are_measured_as_coco_does(tmp_path: Path) -> None:
    """On pictures with masks, the same command has a row for boxes and one for masks."""
    models_onnx.save(models_onnx.tiny_masker(), tmp_path)
    for part in ("images", "masks"):
        (tmp_path / "street" / part).mkdir(parents=True)
    for number in range(2):
        plane = np.zeros((64, 64), np.uint8)
        plane[16:32, 24:40] = 1
        photo = np.full((64, 64, 3), 90, np.uint8)
        photo[plane > 0] = (0, 0, 255)
        cv2.imwrite(str(tmp_path / "street" / "images" / f"{number}.png"), photo)
        cv2.imwrite(str(tmp_path / "street" / "masks" / f"{number}.png"), plane)
    words = ("bench", "map", "--data", "street", "--model", "tiny.onnx", "--json", "figures.json")
    done = within(tmp_path, *words)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out if line.startswith(("boxes", "masks"))] == ["boxes", "masks"]
    assert done.out[-2].startswith("COCO's AP over 1 classes on 2 pictures of street test (IoU 0.50 to 0.95")
    [model] = json.loads((tmp_path / "figures.json").read_text())["models"]
    assert {"boxes", "masks"} <= model.keys()
    refused = within(tmp_path, *words, "--split", "val")
    assert refused.code != 0
    assert "street has no split 'val': expected one of test, train" in refused.err[-1]
