"""`watchline bench map`: the table, the JSON, and what is refused."""

import json
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
    assert rows[0][:4] == ["tiny", "at", "64", "x"]
    assert rows[1:5] == [["AP", "objects"], ["car", "-", "0"], ["person", "0.6667", "3"], ["mean", "0.6667", "3"]]
    assert done.out[5].startswith("mAP at IoU 0.3 over 1 classes on 2 pictures of cells val (area under")
    assert done.out[6] == "left out, as the model has no label for them: walrus"
    assert done.err == []


def test_the_same_as_json(folder: Path) -> None:
    done = bench(folder, "--rule", "voc2007", "--json", "figures.json")
    assert done.code == 0
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["mean_average_precision"] == pytest.approx(7 / 11)
    assert figures["classes"] == {
        "car": {"average_precision": None, "objects": 0},
        "person": {"average_precision": pytest.approx(7 / 11), "objects": 3},
    }
    assert figures["unknown_classes"] == ["walrus"]
    told = {name: figures[name] for name in ("model", "data", "split", "pictures", "every", "rule", "iou_threshold")}
    assert told == {
        "model": "tiny",
        "data": "cells",
        "split": "val",
        "pictures": 2,
        "every": 1,
        "rule": "voc2007",
        "iou_threshold": 0.3,
    }
    assert "onnxruntime" in figures["runtime"]
    assert figures["cpu"] == cpu.kind()


@pytest.mark.parametrize(("words", "said"), [((), "all classes count"), (("--per-box", "best"), "best class counts")])
def test_the_classes_of_a_box_that_count_are_told(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = bench(folder, "--json", "figures.json", *words)
    assert done.out[0].endswith(said)
    assert json.loads((folder / "figures.json").read_text())["per_box"] == (words[-1] if words else "all")


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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--split", "tset"], "has no split 'tset': expected one of train, val, all"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
        (["--model", "nothing.onnx"], "nothing.onnx"),
        (["--classes", "persn"], "did you mean 'person'?"),
        (["--iou", "45"], "--iou"),
        (["--iou-threshold", "50"], "expected more than 0 and at most 1"),
        (["--rule", "12-point"], "12-point"),
        (["--json", "nowhere/figures.json"], "in a folder that can be written to"),
        (["--classes", "bicycle"], "expected a class in common"),
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
    assert [line.split()[0] for line in done.out[:4]] == ["tiny", "AP", "boxes", "masks"]
    assert done.out[4].startswith("as COCO has it, IoU 0.50 to 0.95, on 2 pictures of street test with 2 objects")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {"boxes", "masks", "objects", "runtime", "width"} <= figures.keys()
    refused = within(tmp_path, *words, "--split", "val")
    assert refused.code != 0
    assert "street has no split 'val': expected one of test, train" in refused.err[-1]
