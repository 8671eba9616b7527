"""`watchline train`: its settings, its lines, and what it says without torch or without data."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import onnx
import own_sets
import pytest
import voc_set
from cli.shell import within
from clips import write_photo
from models_onnx import tiny_detector

from watchline.cli import train, train_report
from watchline.engines import metadata, zoo


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys\nsys.modules['torch'] = None\nfrom watchline.cli import main\n"
    code = f"{hidden}sys.exit(main(['train', 'yolov2', '--data', '.', '--out', {str(tmp_path / 'o')!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "training needs torch: pip install '.[train]' in the folder of Watchline's source"
        in done.stderr.splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--data is missing: name what to train on"),
        (("--data", ".", "--imgsz", "400"), "--imgsz 400: expected a multiple of 32"),
        (("--data", ".", "--epochs", "2", "--steps", "9"), "--steps and --epochs: name one of them"),
        (("--data", ".", "--epochs", "0"), "'0': expected a whole number of at least 1"),
    ],
)
def test_settings_are_refused_before_any_work(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "yolov2", "--out", "out", *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--unlabelled", "--boxed"])
def test_pictures_without_labels_need_a_network_that_sees_something_in_them(tmp_path: Path, option: str) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "segmenter", "--data", "nowhere", "--out", "out", option, "street")
    assert done.code == 2
    assert f"{option}: what is learnt from them is what the network of --from sees; name one" in done.err[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["yolov2", "yolo", "ssd", "faster-rcnn", "mask-rcnn", "segmenter", "captioner"])
def test_a_folder_that_cannot_be_written_is_refused_before_pictures_are_read(
    public: Path, as_nobody: Callable[[], AbstractContextManager[None]], model: str
) -> None:
    for out in ("out", "new/out", "."):
        with as_nobody():
            done = within(public, "train", model, "--data", "nowhere", "--out", out)
        assert (done.code, done.out) == (2, [])
        assert done.err[-1].endswith(
            f"--out {out}: nothing can be written there (Permission denied); name another folder"
        )
    assert not list(public.iterdir())


def test_a_folder_for_features_that_cannot_be_written_is_refused(
    public: Path, tmp_path: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    (public / "mine").mkdir()
    (public / "mine").chmod(0o777)
    with as_nobody():
        done = within(public, "train", "captioner", "--data", "nowhere", "--out", "mine", "--cache", "features")
    assert (done.code, done.out) == (2, [])
    assert "--cache features: nothing can be written there (Permission denied)" in done.err[-1]


def test_every_mistake_in_the_data_is_a_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out")
    assert (done.code, len(done.err)) == (2, 1)
    assert done.err[0].startswith("watchline: .: not a data set that is known; expected a folder in VOC's layout")
    own_sets.yolo(tmp_path / "data", {"train": own_sets.pictures(4)})
    (tmp_path / "data/labels/train/01.txt").write_text("4 0.5 0.5 0.2 0.2\n0 0.5 0.5 0 0.2\n")
    done = within(tmp_path, "train", "yolov2", "--data", "data/data.yaml", "--out", "out")
    assert done.code == 2
    assert len(done.err) == 3
    assert done.err[0].startswith("watchline: data/labels/train/01.txt line 1: class 4 is unknown")
    assert done.err[2] == "watchline: data/data.yaml: 2 mistakes in the data, nothing was trained"
    assert not (tmp_path / "out").exists()


def test_a_line_each_20_steps_with_the_mean_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [{"step": float(i), "loss": float(i), "coord": 1.0, "size": 288.0, "seconds": 2.0} for i in range(101, 146)]
    train_report.report(steps, last=145)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 120/145  loss 110.500  coord 1.000  2.00 s a step, ETA ")
    assert lines[1].startswith("step 140/145  loss 130.500  ")
    assert lines[2].startswith("step 145/145  loss 143.000  ")
    assert all(re.search(r"ETA \d+:\d\d$", line) for line in lines)
    assert lines[2].endswith("ETA 0:00")


SHORT = ("--imgsz", "64", "--batch", "2", "--threads", "1", "--device", "cpu")


def test_own_data_to_a_detector_in_the_pipeline(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    own_sets.coco(tmp_path / "data", {"train": own_sets.pictures(4), "val": {"07": own_sets.boxes(7)}})
    words = ("train", "yolov2", "--data", "data", "--out", "out", "--from", "yolov2-slim", *SHORT)
    done = within(tmp_path, *words, "--epochs", "2")
    assert (done.code, done.err) == (0, [])
    assert done.out[:4] == [
        "reading data",
        "2 classes: cup, person; 4 pictures to train on, 1 to measure on",
        "from yolov2-slim, which knows person",
        "they take 0.00 GiB of memory",
    ]
    assert [line.split("  mAP")[0] for line in done.out if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert any(re.match(r"step 4/4  loss .* s a step, ETA 0:00$", line) for line in done.out)
    assert re.match(r"out/best\.pt: mAP [01]\.\d{3} at IoU 0\.5, epoch [12] of 2; curves\.png, ", done.out[-2])
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert made >= {"checkpoint.pt", "best.pt", "results.csv", "curves.png", "samples.jpg", "settings.json"}
    assert done.out[-1] == "next: watchline export out/best.pt -o yolov2.onnx"
    assert within(tmp_path, *done.out[-1].split()[2:]).code == 0
    labels = metadata.read(tmp_path / "yolov2.onnx").labels
    assert labels == ("cup", "person")
    shown = within(tmp_path, "annotate", "data/train", "--model", "yolov2.onnx", "--out", "shown", "--conf", "0.01")
    assert (shown.code, shown.err) == (0, shown.err)
    lines = (tmp_path / "shown" / "train.jsonl").read_text().splitlines()
    assert len(lines) == 4 + 2  # a header, and a footer
    found = {one["label"] for line in lines[1:-1] for one in json.loads(line)["detections"]}
    assert found <= {"cup", "person"}


def test_yolo_s_head_learns_alone_before_the_whole_network(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    own_sets.coco(tmp_path / "data", {"train": own_sets.pictures(4), "val": {"07": own_sets.boxes(7)}})
    words = ("--data", "data", "--out", "out", "--steps", "2", "--batch", "2", "--threads", "1", "--device", "cpu")
    done = within(tmp_path, "train", "yolo", *words)
    assert (done.code, done.err) == (0, [])
    assert "first the head alone, on maps of 16 views, which take 0.0 GiB in out/head" in done.out
    assert [line.split()[1] for line in done.out if line.startswith("step ")] == ["20/20", "2/2"]
    assert [file.name for file in (tmp_path / "out" / "head").iterdir()] == ["checkpoint.pt"]
    assert done.out[-1] == "next: watchline export out/best.pt -o yolo.onnx"
    again = within(tmp_path, "train", "yolo", "--out", "out", "--resume", "--threads", "1")
    assert (again.code, [line for line in again.out if line.startswith("first")]) == (0, [])


def test_a_recipe_s_file_on_its_own_data(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    onnx.save(tiny_detector(labels=("person", "cat", "dog")), tmp_path / "teacher.onnx")
    for number in range(4):
        write_photo(tmp_path / "photos" / f"{number}.png", voc_set.picture([("person", number, 1 + number)]))
    (tmp_path / "mine.toml").write_text(
        "[teachers]\nmodels = ['teacher.onnx']\n[train]\nsteps = 2\nbatch = 1\n"
        "[[groups]]\nname = 'all'\nshare = 1\n[[groups.data]]\npath = 'photos'\nlayout = 'photos'\n"
    )
    words = ("train", "yolov2", "--recipe", "mine.toml", "--data", ".", "--out", "out")
    done = within(tmp_path, *words, "--from", "yolov2-slim", "--threads", "1", "--device", "cpu")
    assert (done.code, done.err) == (0, [])
    assert done.out[:2] == ["reading .", "4 pictures of all"]
    assert done.out[-2].startswith("out/best.pt: not measured, as there is nothing to measure on")
    assert within(tmp_path, *words, "--imgsz", "64").code == 2


def test_a_run_that_is_interrupted_is_resumed_without_its_settings(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    own_sets.yolo(tmp_path / "data", {"train": own_sets.pictures(10)})
    words = ("train", "yolov2", "--data", "data", "--out", "out", "--from", "yolov2-slim", *SHORT, "--seed", "3")
    command = [sys.executable, "-m", "watchline", *words, "--epochs", "40", "--patience", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, err = process.stdout, process.stderr
        assert out is not None
        assert err is not None
        before = []
        for line in out:
            before.append(line.rstrip())
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        before += [line.rstrip() for line in out]
        assert "stopping: the files are finished" in err.read()
    assert process.returncode == 130
    assert before[-1] == "stopped; to go on: watchline train yolov2 --out out --resume"
    stopped = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["step"]
    assert 4 <= stopped < 160
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "watchline", "train", "yolov2", "--out", "../out", "--resume", "--threads", "1"],
        cwd=elsewhere,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out = process.stdout
        assert out is not None
        first = next(line for line in out if line.startswith("epoch"))
        process.send_signal(signal.SIGINT)
        out.read()
    assert first.startswith(f"epoch {stopped // 4 + 1}/40")


@pytest.mark.parametrize("model", ["yolov2", "yolo", "ssd", "faster-rcnn"])
def test_a_folder_with_a_run_is_not_trained_into_in_silence(tmp_path: Path, model: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.pt").write_bytes(b"a run of other labels")
    done = within(tmp_path, "train", model, "--data", "none", "--out", "out")
    assert done.code != 0
    assert done.err[-1] == "watchline: out has a run: --resume goes on with it; name another --out for a new one"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "out/settings.json is missing: there is no run to resume; begin one with --data"),
        ("{}", "out/settings.json is not the settings of a run"),
        ('{"model": "yolov2", "epochs": "many"}', "out/settings.json is not the settings of a run"),
        ("[", "out/settings.json is not the settings of a run"),
    ],
)
def test_a_folder_without_a_run_is_not_resumed(tmp_path: Path, text: str | None, says: str) -> None:
    pytest.importorskip("torch")
    (tmp_path / "out").mkdir()
    if text is not None:
        (tmp_path / "out" / "settings.json").write_text(text)
    done = within(tmp_path, "train", "yolov2", "--out", "out", "--resume")
    assert (done.code, len(done.err)) == (2, 1)
    assert done.err[0].startswith(f"watchline: {says}")


def test_it_takes_the_cores_that_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    seen: list[int] = []
    monkeypatch.setattr(os, "cpu_count", lambda: 48)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    monkeypatch.setattr(train, "_captioner", lambda options: seen.append(options.threads))
    within(tmp_path, "train", "captioner", "--data", ".", "--out", "out")
    assert seen == [1]


def test_a_network_to_start_from_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out", "--from", "yolov2-thin")
    assert done.code == 2
    shipped = ", ".join(zoo.names())
    expected = f"expected a file, or one of the shipped: {shipped}; did you mean 'yolov2-slim'?"
    assert done.err == [f"watchline: no model 'yolov2-thin': {expected}"]


def test_a_gpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out", "--device", "cuda")
    assert done.code == 2
    assert "--device cuda: PyTorch sees no GPU here" in done.err[-1]


def test_a_recipe_s_settings_give_way_to_options_and_its_data_is_yolov2_s(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question; " * 40)
    (tmp_path / "short.toml").write_text("[train]\nhidden = 8\nsteps = 3\nbatch = 2\nlength = 16\n")
    words = ("train", "lstm", "--recipe", "short.toml", "--data", "text.txt", "--threads", "1")
    assert within(tmp_path, *words, "--out", "three").out[-2].startswith("three/checkpoint.pt: done, 3 steps")
    assert (
        within(tmp_path, *words, "--out", "two", "--steps", "2").out[-2].startswith("two/checkpoint.pt: done, 2 steps")
    )
    (tmp_path / "short.toml").write_text("[[groups]]\nname = 'a'\nshare = 1\ndata = []\n")
    done = within(tmp_path, *words, "--out", "four")
    assert done.code == 2
    assert done.err[-1].endswith("--recipe short.toml: lstm takes its data by --data, not by [[groups]]")
    done = within(tmp_path, "train", "ssd", *words[2:], "--out", "five", "--epochs", "3")
    assert done.err[-1].endswith("--epochs does not go with --recipe, which has steps of its own")


def test_what_follows_from_steps_and_batch_follows_those_of_a_recipe_s_file(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from watchline.train import own_single_shot
    from watchline.train.yolov2 import RECIPES

    (tmp_path / "mine.toml").write_text("[train]\nbatch = 5\nsteps = 30\nlr_head = 1e-5\n")
    options = argparse.Namespace(
        recipe=tmp_path / "mine.toml", model="yolov2", imgsz=None, epochs=None, steps=40, batch=None, seed=None
    )
    base = RECIPES["cpu"]
    recipe_for = partial(own_single_shot.recipe_for, base, (100, 20), "cpu")
    recipe = train_report.settled_for(options, base, recipe_for, "epochs", "steps", "batch", "imgsz", "seed")
    alike = recipe_for(batch=5, steps=40)
    assert (recipe.steps, recipe.batch, recipe.lr_head) == (40, 5, 1e-5)
    assert (recipe.save_every, recipe.warmup, recipe.lr_backbone) == (
        alike.save_every,
        alike.warmup,
        alike.lr_backbone,
    )
