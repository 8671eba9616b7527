"""`watchline train`: its settings, its lines, and what it says without torch or without data."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.shell import within

from watchline.cli import train
from watchline.engines import zoo


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys\nsys.modules['torch'] = None\nfrom watchline.cli import main\n"
    code = f"{hidden}sys.exit(main(['train', 'yolov2', '--data', '.', '--out', {str(tmp_path / 'o')!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "training needs torch: pip install '.[train]' in the folder of Watchline's source"
        in done.stderr.splitlines()[-1]
    )


def test_without_data_it_names_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "yolov2", "--data", tmp_path, "--out", "out")
    assert done.code == 2
    assert len(done.err) == 1
    assert done.err[0].startswith(f"watchline: no teacher {tmp_path}/weights/onnx/yolox_nano.onnx")


def test_a_line_each_20_steps_with_the_mean_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [{"step": float(i), "loss": float(i), "coord": 1.0, "size": 288.0, "seconds": 2.0} for i in range(101, 146)]
    train._report(steps, last=145)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 120/145  loss 110.500  coord 1.000  2.00 s a step, ETA ")
    assert lines[1].startswith("step 140/145  loss 130.500  ")
    assert lines[2].startswith("step 145/145  loss 143.000  ")
    assert all(re.search(r"ETA \d+:\d\d$", line) for line in lines)
    assert lines[2].endswith("ETA 0:00")


def test_it_goes_on_from_a_detector_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from pictures import picture

    from watchline.train import mixture, yolov2

    pictures = [picture(i, boxes=[(5 * i, 10, 5 * i + 30, 50)], group=i % 3) for i in range(6)]
    monkeypatch.setattr(mixture, "gather", lambda data, cache: iter(pictures))
    monkeypatch.setattr(yolov2, "learn_priors", lambda store, recipe: torch.rand(recipe.priors, 2) + 1)  # takes long
    once = ("--steps", "1", "--batch", "1", "--threads", "1", "--device", "cpu")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out", "--start", "yolov2-slim", *once)
    assert (done.code, done.err) == (0, [])
    assert done.out[1] == "2 pictures of photos, 2 pictures of street, 2 pictures of everyday"
    assert done.out[2].startswith("step 1/1  loss ")
    assert done.out[-1] == "out/yolov2.onnx: done; watchline annotate … --model out/yolov2.onnx"
    before, after = (path.stat().st_size for path in (zoo.find("yolov2-slim"), tmp_path / "out" / "yolov2.onnx"))
    assert abs(after - before) < 2000  # the same network


def test_a_network_to_start_from_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out", "--start", "yolov2-thin")
    assert done.code == 2
    shipped = ", ".join(zoo.names())
    assert done.err == [f"watchline: no model 'yolov2-thin': expected a file, or one of the shipped: {shipped}"]


def test_a_gpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = within(tmp_path, "train", "yolov2", "--data", ".", "--out", "out", "--device", "cuda")
    assert done.code == 2
    assert "--device cuda: PyTorch sees no GPU here" in done.err[-1]
