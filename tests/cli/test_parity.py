"""`watchline parity`: the table, the JSON, the exit code, and what is refused."""

import json
from pathlib import Path

import cv2
import darknet_files
import onnx
import pytest
import voc_set
from broken_onnx import noise, scaled
from cli.shell import Done, within

from watchline.engines import cpu
from watchline.export.checkpoint import to_onnx
from watchline.export.request import Request

LABELS = ("person", "bicycle", "car")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.cfg, net.weights, net.onnx, broken.onnx, photos and a labelled set `cells`."""
    folder = tmp_path_factory.mktemp("parity")
    onnx.save(to_onnx(darknet_files.write(folder), Request("net", LABELS)), folder / "net.onnx")
    scaled(folder / "net.onnx", folder / "broken.onnx", "1.convolutional.kernel", 1.01)
    (folder / "photos").mkdir()
    for number, image in enumerate(noise(4, 64)):
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), image)
    voc_set.add(folder / "cells", "a", [("person", 1, 1), ("car", 5, 6)])
    return folder


def parity(folder: Path, *words: str, engine: str = "net.onnx") -> Done:
    return within(folder, "parity", "net.cfg", "net.weights", engine, "--images", "photos", *words)


def test_nothing_is_lost(folder: Path) -> None:
    done = parity(folder, "--limit", "2", "--json", "report.json")
    assert done.code == 0, done.out
    assert done.out[0].split()[:3] == ["step", "boxes", "px"]
    assert len(done.out) == 8  # a head, six steps, the end
    assert done.out[-1] == f"fine: net.onnx, fp32, on 2 pictures of photos, {cpu.kind()}"
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"] is True
    assert report["checkpoint"] == ["net.cfg", "net.weights"]
    assert (report["engine"], report["precision"], report["pictures"]) == ("net.onnx", "fp32", 2)
    assert report["limits"]["boxes"] == 0.1
    assert [step["passed"] for step in report["steps"]] == [True] * 6
    assert all(step["first_divergence"] is None for step in report["steps"])
    assert report["steps"][1]["matched"] == report["steps"][0]["matched"] > 0


def test_what_is_lost_is_told_and_where(folder: Path) -> None:
    done = parity(folder, "--json", "report.json", engine="broken.onnx")
    assert done.code == 1
    assert any("boxes differ by" in line and "more than 0.1" in line for line in done.out)
    layer = "first layer that diverges: Conv 1.convolutional.linear, tensor 1.convolutional.linear"
    assert sum(line.strip().startswith(layer) for line in done.out) == 2  # by each runtime
    assert done.out[-1].startswith("too far: broken.onnx")
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"] is False
    assert [step["passed"] for step in report["steps"]] == [True, True, False, False, False, True]
    assert report["steps"][2]["first_divergence"]["tensor"] == "1.convolutional.linear"
    assert report["steps"][2]["over"]


def test_limits_can_be_set(folder: Path) -> None:
    words = ("--max-boxes", "99", "--max-scores", "1", "--max-lost", "1")
    assert parity(folder, *words, engine="broken.onnx").code == 0
    assert parity(folder, "--max-boxes", "0").code == 1
    assert parity(folder, "--precision", "int8", engine="broken.onnx").code == 0


def test_the_export_s_own_word_about_the_size_is_repeated(folder: Path) -> None:
    """Wide photos: stretched, they are other pictures than letterboxed."""
    (folder / "wide").mkdir()
    for number, image in enumerate(noise(2, 96)):
        cv2.imwrite(str(folder / "wide" / f"{number}.png"), image[:48])
    request = Request("net", LABELS, resize="stretch")
    onnx.save(to_onnx([folder / "net.cfg", folder / "net.weights"], request), folder / "stretched.onnx")
    assert parity(folder, "--images", "wide", engine="stretched.onnx").code == 1
    assert parity(folder, "--images", "wide", "--resize", "stretch", engine="stretched.onnx").code == 0


def test_accuracy_is_compared_where_there_are_labels(folder: Path) -> None:
    done = parity(folder, "--data", "cells", "--json", "report.json", "--limit", "1")
    assert done.code == 0
    steps = json.loads((folder / "report.json").read_text())["steps"]
    assert steps[0]["mean_average_precision"] is None  # computed node by node, too slow for a whole set
    assert all(step["mean_average_precision"] is not None for step in steps[1:5])
    assert [step["drop"] for step in steps] == [None, 0, 0, 0, 0, None]  # of pictures that others prepare, boxes alone


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["net.onnx", "--images", "photos"], "what with what?"),
        (["net.cfg", "net.weights", "nothing.onnx", "--images", "photos"], "there is no such file"),
        (["net.cfg", "net.weights", "net.onnx", "--images", "nowhere"], "there are no photos there"),
        (["net.onnx", "net.onnx", "--images", "photos"], "net.onnx"),
        (["net.cfg", "net.weights", "net.onnx"], "--images"),
        (["net.cfg", "net.weights", "net.onnx", "--images", "photos", "--max-boxes", "x"], "expected pixels"),
        (["net.cfg", "net.weights", "net.onnx", "--images", "photos", "--json", "no/where"], "in a folder"),
        (["net.cfg", "net.weights", "net.onnx", "--images", "photos", "--arch", "ssd300_vgg16"], "this is darknet"),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, words: list[str], says: str) -> None:
    done = within(folder, "parity", *words)
    assert done.code == 2
    assert says in done.err[-1]
