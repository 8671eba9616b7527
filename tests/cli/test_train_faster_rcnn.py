"""`watchline train faster-rcnn`: a whole short training, and what it says of options that do not go together."""

from pathlib import Path

import own_sets
import pytest
import torch
from cli.shell import within

from watchline.engines import metadata

LITE = ("--backbone", "efficientnet-lite0", "--threads", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return own_sets.voc(tmp_path / "voc", {"train": own_sets.pictures(4), "val": {"05": own_sets.boxes(5)}})


def test_it_trains_on_own_data_and_goes_on(tmp_path: Path, data: Path) -> None:
    words = ("train", "faster-rcnn", "--data", data, "--out", "out", *LITE, "--batch", "2", "--imgsz", "64")
    done = within(tmp_path, *words, "--epochs", "2")
    assert (done.code, done.err) == (0, [])
    assert done.out[1] == "2 classes: cup, person; 4 pictures to train on, 1 to measure on"
    assert [line.split("  mAP")[0] for line in done.out if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    [steps] = [line for line in done.out if line.startswith("step 4/4  loss ")]
    assert "  rpn class 0." in steps
    saved, best = (torch.load(tmp_path / "out" / name, weights_only=True) for name in ("checkpoint.pt", "best.pt"))
    assert (saved["network"], saved["trunk"], saved["step"]) == ("faster-rcnn", "efficientnet-lite0", 4)
    assert "optimizer" not in best
    again = within(tmp_path, *words, "--epochs", "3")
    assert again.code == 2
    assert again.err[0] == "watchline: out has a run: --resume goes on with it; name another --out for a new one"
    assert done.out[-1] == "next: watchline export out/best.pt -o faster-rcnn.onnx"
    assert within(tmp_path, *done.out[-1].split()[2:]).code == 0
    about = metadata.read(tmp_path / "faster-rcnn.onnx")
    assert (about.labels, about.imgsz) == (("cup", "person"), 64)
    resumed = within(tmp_path, "train", "faster-rcnn", "--out", "out", "--resume")
    assert (resumed.code, resumed.out[-1]) == (
        0,
        done.out[-1],
    )  # nothing was left to do, and the refused run left no settings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("yolov2", "--backbone", "vgg16"), "--backbone goes with faster-rcnn, not with yolov2"),
        (("faster-rcnn", "--cache", "labels"), "--cache goes with yolov2, not with faster-rcnn"),
        (("faster-rcnn", "--from", "yolov2-slim"), "--from goes with yolov2, not with faster-rcnn"),
        (("faster-rcnn",), "--backbone vgg16 needs --pretrained FILE, ImageNet's weights"),
        (("faster-rcnn", *LITE, "--pretrained", "f.pth"), "--pretrained goes with --backbone vgg16"),
        (("faster-rcnn", *LITE, "--imgsz", "336"), "--imgsz 336: expected a multiple of 32 for efficientnet-lite0"),
        (("faster-rcnn", "--imgsz", "8"), "'8': expected a whole number of at least 64"),
        (("faster-rcnn", "--out", "/dev/null"), "--out /dev/null: it is not a folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    model, *rest = words
    done = within(tmp_path, "train", model, "--data", ".", "--out", "out", *rest)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--pretrained", "none.pth"), "none.pth: there is no such file"),
        (("--pretrained", "page.pth"), "page.pth: it is an HTML page; expected a PyTorch state dict"),
        (("--pretrained", "other.pth"), "other.pth is not VGG-16: features.0.weight is missing"),
        (LITE, ": not a data set that is known; expected a folder in VOC's layout"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    done = within(tmp_path, "train", "faster-rcnn", "--data", ".", "--out", "out", *words)
    assert done.code == 2
    assert len(done.err) == 1
    assert says in done.err[0]
