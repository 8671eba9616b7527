"""`watchline annotate` from end to end, with real clips and a tiny real model: files, exit codes, progress, Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from cli.shell import watchline, within
from clips import Image, decode, write_clip, write_photo
from models_onnx import tiny_detector

LONG = 500  # frames
EVENTS = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())
LINE = jsonschema.Draft202012Validator(EVENTS)


def red_square(index: int) -> Image:
    """Grey with a red square, which the tiny detector takes for a person, that goes right by 8 pixels a frame."""
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:32, 8 * index : 8 * index + 16] = (0, 0, 255)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a clip of 8 frames, a second one, photos, a text that is called .mp4, and a model."""
    write_clip(tmp_path / "walk.mp4", frames=8, size=(128, 64), draw=red_square)
    write_clip(tmp_path / "other.mp4", frames=3)
    (tmp_path / "photos").mkdir()
    for index, name in enumerate(("a.png", "b.jpg")):
        write_photo(tmp_path / "photos" / name, red_square(index))
    (tmp_path / "text.mp4").write_text("no video\n" * 20)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def annotate(folder: Path, *words: str):
    return within(folder, "annotate", *words, "--model", "tiny.onnx")


def events(path: Path) -> list[dict]:
    """The lines of a file of events, each as docs/events.schema.json wants it."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        LINE.validate(line)
    return lines


def labels(path: Path) -> list[list[str]]:
    return [[found["label"] for found in event["detections"]] for event in events(path)[1:-1]]


def test_a_clip_becomes_a_video_and_its_events(folder: Path) -> None:
    words = ["walk.mp4", "--out", "out", "--imgsz", "128x64", "--model", "tiny.onnx"]
    done = watchline("annotate", *words, cwd=folder)
    assert done.code == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["walk.jsonl", "walk.mp4"]
    assert decode(folder / "out" / "walk.mp4").seconds == decode(folder / "walk.mp4").seconds
    assert all("person" in found for found in labels(folder / "out" / "walk.jsonl"))
    assert done.out[0].startswith("8 frames in ")
    assert done.out[-1] == "walk: out/walk.mp4, out/walk.jsonl written"


def test_lines_tell_the_progress_where_there_is_no_terminal(folder: Path) -> None:
    done = annotate(folder, "walk.mp4", "other.mp4", "--out", "out")
    assert next(line for line in done.err if line.startswith("walk: ")) == "walk: 8 frames of 128 x 64, h264"
    assert [line.split(" in ")[0] for line in done.err if "done" in line] == [
        "walk: done: 8 frames",
        "other: done: 3 frames",
    ]
    assert not any("\r" in line for line in done.err)


def test_bad_files_are_named_at_the_end_and_do_not_stop_the_rest(folder: Path) -> None:
    words = ["gone.mp4", "text.mp4", "--out", "out", "walk.mp4", "no*.mkv", "--model", "tiny.onnx"]
    done = watchline("annotate", *words, cwd=folder)
    assert done.code == 1
    failed = [line for line in done.err if line.startswith("watchline: failed: ")]
    assert done.err[-3:] == failed
    assert [next(name for name in ("gone.mp4", "no*.mkv", "text.mp4") if name in line) for line in failed] == [
        "gone.mp4",
        "no*.mkv",
        "text.mp4",
    ]
    assert len(events(folder / "out" / "walk.jsonl")) == 1 + 8 + 1


def test_nothing_to_read_is_a_failure(folder: Path) -> None:
    done = annotate(folder, "gone.mp4", "--out", "out")
    assert (done.code, done.out) == (1, [])
    assert done.err == ["watchline: failed: gone.mp4: there is no such file or folder; check the spelling"]
    assert not (folder / "out").exists()


def test_outputs_have_a_folder_if_nobody_says_where(folder: Path) -> None:
    assert annotate(folder, "photos").code == 0
    assert sorted(p.name for p in (folder / "annotated").iterdir()) == ["a.png", "b.jpg", "photos.jsonl"]


def test_photos(folder: Path) -> None:
    done = annotate(folder, "photos", "--out", "out")
    assert done.code == 0
    assert [event["file"] for event in events(folder / "out" / "photos.jsonl")[1:-1]] == ["a.png", "b.jpg"]
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.png", "b.jpg", "photos.jsonl"]


@pytest.fixture
def tree(folder: Path) -> Path:
    """Two clips of one name, in two folders."""
    for name in "AB":
        (folder / "tree" / name).mkdir(parents=True)
        shutil.copy(folder / "walk.mp4", folder / "tree" / name / "x.mp4")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


BOTH = ["A/x.jsonl", "A/x.mp4", "B/x.jsonl", "B/x.mp4"]


def test_the_files_of_a_tree_are_called_after_their_path(tree: Path) -> None:
    for _ in range(2):  # the second time, outputs inside of the tree are not inputs
        done = annotate(tree, "tree", "--recursive", "--out", "tree/out", "--overwrite")
        assert (done.code, names(tree / "tree" / "out")) == (0, BOTH)
    header, frame, *_ = events(tree / "tree" / "out" / "A" / "x.jsonl")
    assert (header["header"]["source"], frame["stream"]) == ("A/x.mp4", "A/x")


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_inputs_from_a_list(tree: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    (tree / "list.txt").write_text("".join(f"{name}{end}" for name in ("tree/A/x.mp4", "0", "tree/B/x.mp4")))
    done = annotate(tree, "--list", "list.txt", "--out", "out")
    assert (done.code, names(tree / "out")) == (1, BOTH)
    assert done.err[-1].startswith("watchline: failed: 0: there is no such file"), "a number in a list is a camera"
    monkeypatch.setattr(sys, "stdin", (tree / "list.txt").open())
    assert annotate(tree, "--list", "-", "--out", "from-stdin").code == 1
    assert names(tree / "from-stdin") == BOTH
    done = annotate(tree, "--list", "gone.txt", "--out", "out")
    assert (done.code, done.err[-1].partition("error: ")[2]) == (
        2,
        "--list gone.txt: it cannot be read (No such file or directory); expected a list of files",
    )


@pytest.mark.parametrize(
    ("words", "frames", "found"),
    [
        (["--no-video", "--classes", "car,bicycle"], 8, 0),
        (["--no-video", "--conf", "1"], 8, 0),
        (["--no-video", "--every", "3"], 3, 3),
        (["--no-video", "--workers", "1", "--iou", "0.1", "--runtime", "onnxruntime"], 8, 8),
    ],
)
def test_flags_reach_the_detector(folder: Path, words: list[str], frames: int, found: int) -> None:
    assert annotate(folder, "walk.mp4", "--out", "out", "--imgsz", "128", *words).code == 0
    seen = labels(folder / "out" / "walk.jsonl")
    assert (len(seen), sum("person" in names for names in seen)) == (frames, found)
    assert not (folder / "out" / "walk.mp4").exists()


def test_a_file_as_the_output(folder: Path) -> None:
    done = annotate(folder, "walk.mp4", "--out", "here/annotated.mp4", "--preset", "ultrafast")
    assert done.code == 0
    assert sorted(p.name for p in (folder / "here").iterdir()) == ["annotated.mp4", "walk.jsonl"]


@pytest.mark.parametrize("words", [["walk.mp4"], ["walk.mp4", "--no-video"], ["photos"]])
def test_outputs_that_are_there_stay_unless_they_are_to_be_replaced(folder: Path, words: list[str]) -> None:
    assert annotate(folder, *words, "--out", "out").code == 0
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    done = annotate(folder, *words, "--out", "out", "--conf", "1")
    assert done.code == 1
    [failed] = [line for line in done.err if line.startswith("watchline: failed: ")]
    assert failed.endswith("jsonl is there already: --overwrite replaces it, --out names another folder")
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before
    assert annotate(folder, *words, "--out", "out", "--conf", "1", "--overwrite").code == 0
    after = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert before.keys() == after.keys()
    assert before != after


@pytest.mark.parametrize("there", ["walk.jsonl", "walk.mp4"])
def test_what_is_there_is_refused_before_a_model_is_loaded(folder: Path, there: str) -> None:
    (folder / "out").mkdir()
    (folder / "out" / there).write_text("precious")
    done = within(folder, "annotate", "walk.mp4", "--out", "out", "--model", "gone.onnx")
    assert (done.code, done.out) == (1, [])
    [failed] = done.err
    assert failed.startswith(f"watchline: failed: walk.mp4: out/{there} is there already: --overwrite replaces it")


@pytest.mark.parametrize("option", ["--model", "--segment"])
def test_a_model_that_is_named_twice_is_refused(folder: Path, option: str) -> None:
    done = annotate(folder, "walk.mp4", option, "yolov2-slim", option, "fcn-lite0")
    assert done.code == 2
    assert f"argument {option}: it is there twice, 'yolov2-slim' and 'fcn-lite0': expected one" in done.err[-1]


def test_a_video_of_the_same_name_stays_too(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "walk.mp4").write_text("precious")
    done = annotate(folder, "walk.mp4", "--out", "out")
    assert done.code == 1
    assert "out/walk.mp4 is there already" in done.err[-1]
    assert [(path.name, path.read_text()) for path in (folder / "out").iterdir()] == [("walk.mp4", "precious")]


def test_a_report_that_has_no_room_leaves_no_empty_file(folder: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("4k")
    (disk / "filler").write_bytes(bytes(4096))
    done = annotate(folder, "walk.mp4", "--no-video", "--out", "out", "--report", str(disk / "report.json"))
    assert done.code == 1
    assert "the report cannot be written: No space left on device" in done.err[-1]
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_the_report_is_written(folder: Path) -> None:
    assert annotate(folder, "walk.mp4", "text.mp4", "--out", "out", "--report", "report.json").code == 1
    report = json.loads((folder / "report.json").read_text())
    assert report["frames"] == 8
    assert report["streams"]["walk"]["balances"]
    walk, text = report["outcomes"]
    assert walk["outputs"] == ["out/walk.mp4", "out/walk.jsonl"]
    assert walk["error"] is None
    assert "text.mp4" in text["error"]


@pytest.mark.parametrize("name", ["-dash.mp4", "-holiday.mp4", "-v1.mp4", "--out.mp4"])
def test_a_name_that_begins_with_a_hyphen(folder: Path, name: str) -> None:
    (folder / "walk.mp4").rename(folder / name)
    assert annotate(folder, name, "--no-video", "--out", "out").code == 0

    assert len(events(folder / "out" / f"{name.removesuffix('.mp4')}.jsonl")) == 1 + 8 + 1


def test_pictures_larger_than_the_limit_are_refused(folder: Path) -> None:
    (folder / "watchline.toml").write_text("[streams.walk]\nsource = 'walk.mp4'\nmax_pixels = 8191\n")
    for words in (["walk.mp4", "--max-pixels", "8191"], ["--config", "watchline.toml"]):
        done = annotate(folder, *words, "--no-video", "--out", "out")
        assert done.code == 1
        assert "walk.mp4 declares 128 x 64 pixels: expected 8191 at most" in done.err[-1]
    words = ["--config", "watchline.toml", "--max-pixels", "8192"]
    assert annotate(folder, *words, "--no-video", "--out", "out").code == 0


def test_what_is_read_is_never_written(folder: Path) -> None:
    before = (folder / "walk.mp4").read_bytes()
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nwalk.mp4\n#EXT-X-ENDLIST\n")
    (folder / "walk.ffconcat").write_text("ffconcat version 1.0\nfile walk.mp4\n")
    for words in (["list.m3u8"], ["walk.ffconcat"], ["walk.mp4"]):
        assert annotate(folder, *words, "--out", ".").code == 1
    done = annotate(folder, "walk.mp4", "--out", "out", "--report", "./walk.mp4")
    assert done.code == 2
    assert done.err[-1].endswith("is an input: the report would destroy it; name another file")
    assert (folder / "walk.mp4").read_bytes() == before


def test_a_name_that_is_no_utf_8(folder: Path) -> None:
    name = os.fsdecode(b"v\xe9.mp4")
    (folder / "walk.mp4").rename(folder / name)
    utf_8 = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    words = [name, "--out", "out", "--model", "tiny.onnx", "--report", "report.json"]
    done = watchline("annotate", *words, cwd=folder, env=utf_8)
    assert done.code == 0
    assert done.out[-1] == r"v\xe9: out/v\xe9.mp4, out/v\xe9.jsonl written"
    assert len(events(folder / "out" / os.fsdecode(b"v\xe9.jsonl"))) == 1 + 8 + 1
    assert json.loads((folder / "report.json").read_text())["outcomes"][0]["frames"] == 8


@pytest.mark.parametrize("more", [[], ["--verbose"]])
def test_an_error_shows_no_secret(folder: Path, more: list[str]) -> None:
    (folder / "watchline.toml").write_text("[detector]\nmodel = '${SECRET}.onnx'\n")
    words = ["annotate", "walk.mp4", "--out", "out", "--config", "watchline.toml", *more]
    done = subprocess.run(
        [sys.executable, "-m", "watchline", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "SECRET": "swordfish"},
    )
    assert done.returncode == 2
    assert "watchline: no model '${SECRET}.onnx'" in done.stderr
    assert "swordfish" not in done.stdout + done.stderr


def test_the_report_shows_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "swordfish")
    (folder / "swordfish.mp4").write_text("no video\n" * 20)
    (folder / "watchline.toml").write_text(
        "out = '${SECRET}'\n[streams.gate]\nsource = 'walk.mp4'\n[streams.yard]\nsource = '${SECRET}.mp4'\n"
        "[detector]\nmodel = 'tiny.onnx'\n"
    )
    done = within(folder, "annotate", "--config", "watchline.toml", "--report", "report.json")
    assert done.code == 1
    assert "swordfish" not in "\n".join((folder / "report.json").read_text().splitlines() + done.out + done.err)
    gate, yard = json.loads((folder / "report.json").read_text())["outcomes"]
    assert gate["outputs"] == ["${SECRET}/gate.mp4", "${SECRET}/gate.jsonl"]
    assert "${SECRET}.mp4" in yard["error"]


def test_flags_are_stronger_than_the_config(folder: Path) -> None:
    (folder / "watchline.toml").write_text(
        "out = 'from-file'\n[streams.gate]\nsource = 'walk.mp4'\n"
        "[detector]\nmodel = 'tiny.onnx'\nconf = 1\nimgsz = 128\n"
    )
    assert within(folder, "annotate", "--config", "watchline.toml", "--conf", "0.5").code == 0
    assert sorted(p.name for p in (folder / "from-file").iterdir()) == ["gate.jsonl", "gate.mp4"]
    assert all("person" in found for found in labels(folder / "from-file" / "gate.jsonl"))
    assert events(folder / "from-file" / "gate.jsonl")[1]["stream"] == "gate"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "out"], "what? name videos"),
        (["walk.mp4", "other.mp4", "--out", "x.mp4"], "--out x.mp4 is one video, but the input is 2 videos"),
        (["photos", "--out", "x.mp4"], "--out x.mp4 is one video, but the input is photos"),
        (["walk.mp4", "--out", "x.mp4", "--no-video"], "--out x.mp4 is a video, but --no-video says to write none"),
        (["walk.mp4", "--out", "x.mkv"], "--out x.mkv: videos are written as .mp4"),
        (["walk.mp4", "--out", "out", "--report", "no/r.json"], "--report no/r.json: expected the name of a file"),
        (["walk.mp4", "--out", "out", "--conf", "7"], "watchline: --conf 7.0: must be at most 1 (default 0.25)"),
        (
            ["walk.mp4", "--out", "out", "--classes", "persn"],
            "watchline: unknown class 'persn': did you mean 'person'?",
        ),
        (["walk.mp4", "--out", "out", "--runtime", "openvin"], "did you mean 'openvino'?"),
        (["walk.mp4", "--out", "out", "--preset", "veryfats"], "did you mean 'veryfast'?"),
        (["walk.mp4", "--out", "out", "--imgsz", "65"], "65"),
        (["walk.mp4", "--out", "out", "--config", "gone.toml"], "watchline: gone.toml: there is no such file"),
        (["walk.mp4", "--out", "out", "--model", "walk.onnx"], "watchline: no model 'walk.onnx'"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(folder: Path, words: list[str], says: str) -> None:
    model = [] if "--model" in words else ["--model", "tiny.onnx"]
    done = within(folder, "annotate", *model, *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (folder / "out").exists()


def test_verbose_tells_where_an_error_came_from(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "watchline", "annotate", "walk.mp4", "--out", "out", "--model", "gone.onnx", "-v"],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("watchline: no model 'gone.onnx'")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, which takes long to encode."""
    still = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_clip(path, LONG, (320, 240), options={"preset": "ultrafast"}, draw=lambda _: still)


@pytest.fixture
def long_job(folder: Path, long_clip: Path) -> Iterator[subprocess.Popen]:
    """An annotate of a clip that takes some seconds, under way: frames are being written."""
    shutil.copy(long_clip, folder / "long.mp4")
    words = ["annotate", "long.mp4", "walk.mp4", "--out", "out", "--model", "tiny.onnx", "--preset", "veryslow"]
    job = subprocess.Popen(
        [sys.executable, "-m", "watchline", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    lines = folder / "out" / "long.jsonl.part"
    deadline = time.monotonic() + 30
    while not (lines.exists() and lines.read_bytes().count(b"\n") > 5):
        assert job.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "it did not begin to write"
        time.sleep(0.05)
    yield job
    job.kill()
    job.communicate()


@pytest.mark.parametrize("more", [[], ["--no-video"], ["--overwrite"]])
def test_a_second_run_into_the_folder_is_refused_and_the_first_one_goes_on(
    folder: Path, long_job: subprocess.Popen, more: list[str]
) -> None:
    done = annotate(folder, "long.mp4", "--out", "out", *more)
    assert done.code == 1
    assert "out/long.jsonl.part is being written by another process; choose another folder" in done.err[-1]
    long_job.send_signal(signal.SIGINT)
    long_job.communicate(timeout=30)
    frames = events(folder / "out" / "long.jsonl")[-1]["footer"]["frames"]
    assert frames == len(decode(folder / "out" / "long.mp4").pictures) > 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_once_finishes_the_file(folder: Path, long_job: subprocess.Popen, number: int) -> None:
    long_job.send_signal(number)
    out, err = long_job.communicate(timeout=30)
    assert long_job.returncode == 130
    assert "stopping: the files are finished" in err
    assert "Traceback" not in err
    assert "balance" not in err
    _, *written, footer = events(folder / "out" / "long.jsonl")
    assert footer["footer"] == {"stream": "long", "whole": False, "frames": len(written), "dropped": {}}
    assert 5 <= len(written) < LONG
    assert len(decode(folder / "out" / "long.mp4").pictures) == len(written)
    assert out.startswith(f"{len(written)} frames in ")
    assert not (folder / "out" / "walk.mp4").exists()
    assert f"long: stopped after {len(written)} frames" in err.splitlines()
    assert "done" not in err
    assert "walk: " not in err


def test_two_signals_together_are_one(folder: Path, long_job: subprocess.Popen) -> None:
    """`timeout` sends to the process and to its group."""
    os.kill(long_job.pid, signal.SIGINT)
    time.sleep(0.02)
    os.kill(long_job.pid, signal.SIGTERM)
    _, err = long_job.communicate(timeout=30)
    assert long_job.returncode == 130
    assert "stopping: the files are finished" in err
    assert decode(folder / "out" / "long.mp4").pictures
