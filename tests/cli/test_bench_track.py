"""`watchline bench track`: the table, the JSON, and what is refused."""

import json
from pathlib import Path

import models_onnx
import pytest
from cli.shell import Done, within
from mot_video import write_boxes, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos, and the boxes of each."""
    (tmp_path / "boxes").mkdir()
    for name in ("gate", "street"):
        write_video(tmp_path / "videos" / name, video=name == "gate")
        write_boxes(tmp_path / "boxes" / f"{name}.npy")
    return tmp_path


def bench(folder: Path, data: str, *words: str) -> Done:
    return within(folder, "bench", "track", "--data", data, *words)


def test_a_row_for_each_video_and_the_same_as_json(folder: Path) -> None:
    done = bench(folder, "videos", "--boxes", "boxes", "--json", "figures.json")
    assert (done.code, done.err) == (0, [])
    assert done.out[0] == "boxes of boxes"
    assert done.out[1].split() == "HOTA MOTA IDF1 switches fragments ids people ms/frame".split()
    assert [line.split()[0] for line in done.out[2:4]] == ["gate", "street"]
    assert done.out[2].split()[2:8] == ["0.981", "0.990", "0", "0", "3", "3"]
    assert done.out[4] == "as TrackEval computes them, of 40 frames; ms: the tracker alone, on one core"
    figures = json.loads((folder / "figures.json").read_text())
    assert [one["data"] for one in figures["sequences"]] == ["gate", "street"]
    assert figures["sequences"][0]["switches"] == 0


def test_one_video_with_its_file_of_boxes(folder: Path) -> None:
    assert len(bench(folder, "videos/street", "--boxes", "boxes/street.npy").out) == 4


def test_between_the_looks_the_tracker_says_where_people_are(folder: Path) -> None:
    done = bench(folder, "videos", "--boxes", "boxes", "--every", "3", "--json", "figures.json")
    assert done.out[0] == "boxes of boxes, every 3 frames"
    assert float(done.out[2].split()[2]) > 0.9
    assert json.loads((folder / "figures.json").read_text())["every"] == 3


def test_the_boxes_of_a_detector(folder: Path) -> None:
    models_onnx.save(models_onnx.tiny_detector(("person",)), folder)
    done = bench(folder, "videos/gate", "--model", "tiny.onnx", "--threads", "1")
    assert done.code == 0
    assert done.out[0].startswith("tiny at 64 x 64, onnxruntime")
    assert done.out[2].split()[0] == "gate"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["videos", "--boxes", "boxes", "--model", "m.onnx"], "--model is for a model, and --boxes gives"),
        (["videos", "--boxes", "nowhere"], "nowhere: there is no such file"),
        (["boxes", "--boxes", "boxes"], "expected a folder in the layout MOT"),
        (["videos", "--json", "nowhere/f.json"], "in a folder that can be written to"),
    ],
)
def test_what_cannot_be_measured_is_one_line(folder: Path, words: list[str], says: str) -> None:
    done = bench(folder, *words)
    assert done.code in (1, 2)
    assert says in done.err[-1]
