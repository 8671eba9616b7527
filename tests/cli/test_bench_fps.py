"""`watchline bench fps` and `bench streams`: what they say and write, and what is refused before any work."""

import json
from pathlib import Path

import cv2
import pytest
from cli.shell import Done, within
from clips import write_clip
from models_onnx import save, tiny_detector

QUICK = ("--seconds", "0.2", "--most", "2", "--imgsz", "128x64", "--workers", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tiny_detector(), tmp_path)
    write_clip(tmp_path / "walk.mp4", 20, (128, 64))
    return tmp_path


def fps(folder: Path, *words: str) -> Done:
    return within(folder, "bench", "fps", "walk.mp4", "--model", "tiny.onnx", *QUICK, *words)


def test_the_table_the_json_and_the_picture(folder: Path) -> None:
    done = fps(folder, "--model", "tiny.onnx", "--json", "f.json", "--plot", "f.png")
    assert (done.code, done.err) == (0, [])
    assert sum(line.startswith("tiny (tiny.onnx) at 128 x 64, onnxruntime") for line in done.out) == 2, (
        "a table for each model"
    )
    for part in ("decode", "resize", "engine", "nms", "draw", "link", "encode"):
        assert any(line.startswith(f"{part} ") for line in done.out), part
    assert done.out[-1].startswith("The ")
    assert " limits, with " in done.out[-1]
    figures = json.loads((folder / "f.json").read_text())
    assert (figures["source"], figures["frame_width"], figures["streams"]) == ("walk.mp4", 128, 1)
    [row, _] = figures["models"]
    assert row["fps"] == row["chain"]["fps"] > 0
    assert row["of_ceiling"] == pytest.approx(row["fps"] / row["ceiling_fps"], abs=0.01)
    assert row["parts"]["engine"]["wall_ms"].keys() == {"p50", "p95", "p99"}
    assert cv2.imread(str(folder / "f.png")) is not None
    assert {path.name for path in folder.iterdir()} == {"walk.mp4", "tiny.onnx", "f.json", "f.png"}, "nothing is left"


def test_a_baseline_that_is_not_reached_fails(folder: Path) -> None:
    assert fps(folder, "--no-video", "--json", "f.json").code == 0
    figures = json.loads((folder / "f.json").read_text())
    for factor, code in ((0.01, 0), (100, 1)):
        figures["models"][0]["fps"] *= factor
        (folder / "before.json").write_text(json.dumps(figures))
        done = fps(folder, "--no-video", "--baseline", "before.json", "--margin", "0.5")
        figures["models"][0]["fps"] /= factor
        assert done.code == code
        assert done.out[-1].startswith("slower than the margin of 0.5 allows: tiny: ") is bool(code)


def test_a_baseline_of_another_run_is_refused_before_any_work(folder: Path) -> None:
    assert fps(folder, "--no-video", "--json", "f.json").code == 0
    for words, says in (
        (("--no-video", "--streams", "2"), "the baseline is of another run: streams is 2, was 1"),
        ((), "video is True, was False"),
    ):
        done = fps(folder, *words, "--baseline", "f.json")
        assert (done.code, done.out) == (2, [])
        assert says in done.err[-1]
    figures = json.loads((folder / "f.json").read_text()) | {"cpu": "an older one"}
    (folder / "f.json").write_text(json.dumps(figures))
    done = fps(folder, "--no-video", "--baseline", "f.json", "--margin", "1")
    assert done.code == 0
    assert any(line.endswith("was 'an older one'") for line in done.out)


def test_an_open_loop_says_what_came_and_what_was_lost(folder: Path) -> None:
    done = fps(folder, "--rate", "30", "--streams", "2", "--no-video")
    assert done.code == 0
    assert any("frames per second came; dropped:" in line for line in done.out)
    assert not any("limits" in line for line in done.out), "what waits for frames has no ceiling"


def test_without_a_clip_one_is_made_and_said(folder: Path) -> None:
    done = within(folder, "bench", "fps", "--model", "tiny.onnx", *QUICK)
    assert done.code == 0
    assert done.out[0].startswith("no clip was given: a test pattern of 1280 x 720 was made")


@pytest.mark.parametrize(
    ("rate", "most", "says"),
    [
        ("5", 2, "2 cameras at 5 frames per second within 10000 ms: --limit stopped the search"),
        ("100000", 0, "not one camera at 100000 frames per second within 10000 ms"),
    ],
    ids=["all", "none"],
)
def test_the_most_cameras_are_found(folder: Path, rate: str, most: int, says: str) -> None:
    words = ("--rate", rate, "--limit", "2", "--latency-budget", "10s", "--no-video", "--json", "s.json")
    done = within(folder, "bench", "streams", "walk.mp4", "--model", "tiny.onnx", *QUICK, *words)
    assert (done.code, done.err) == (0, [])
    figures = json.loads((folder / "s.json").read_text())
    assert figures["cameras"] == most, figures["trials"]
    assert [trial["cameras"] for trial in figures["trials"]] == ([1, 2] if most else [1])
    assert all(bool(trial["why_not"]) is not bool(most) for trial in figures["trials"])
    assert says in done.out[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fps", "none.mp4"], "none.mp4: there is no such file"),
        (["fps", "rtsp://host/a"], "a camera has its own speed; name a video file, or none"),
        (["fps", "--model", "none.onnx"], "none.onnx"),
        (["fps", "--plot", "f.jpg"], "--plot f.jpg: expected a name that ends in .png"),
        (["fps", "--plot", "nowhere/f.png"], "in a folder that can be written to"),
        (["fps", "--baseline", "none.json"], "none.json: it cannot be read"),
        (["fps", "--rate", "0"], "'0': expected a number above 0"),
        (["fps", "--margin", "7"], "'7': expected a number in 0..1"),
        (["fps", "walk.mp4", "--streams", "5", "--model", "tiny.onnx"], "files are read 4 at once; name a rate"),
        (["streams", "--limit", "0"], "'0': expected a whole number"),
        (["streams", "walk.mp4", "more"], "there is one word too many: 'more'"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(folder: Path, words: list[str], says: str) -> None:
    done = within(folder, "bench", *words)
    assert done.code == 2
    assert says in done.err[-1]
