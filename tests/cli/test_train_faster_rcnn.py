"""`watchline train faster-rcnn`: a whole short training, and what it says of options that do not go together."""

from pathlib import Path

import pytest
import torch
import voc_set
from cli.shell import within

LITE = ("--backbone", "efficientnet-lite0", "--threads", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "voc"
    for name in ("a", "b"):
        voc_set.add(folder, name, [("person", 1, 2), ("car", 5, 5)])
    voc_set.split(folder, "train", ["a", "b"])
    return folder


def test_it_trains_and_goes_on(tmp_path: Path, data: Path) -> None:
    words = ("train", "faster-rcnn", "--data", data, "--out", "out", *LITE, "--batch", "1", "--imgsz", "64")
    done = within(tmp_path, *words, "--steps", "2")
    assert done.code == 0, done.err
    assert done.out[1] == "2 pictures, 4 boxes"
    assert done.out[2].startswith("step 2/2  loss ")
    assert "  rpn class 0." in done.out[2]
    assert done.out[3].startswith("out/checkpoint.pt: done, 2 steps; watchline export out/checkpoint.pt")
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert (saved["network"], saved["trunk"], saved["step"]) == ("faster-rcnn", "efficientnet-lite0", 2)
    again = within(tmp_path, *words, "--steps", "3")
    assert again.code == 2
    assert again.err[0].startswith("watchline: out/checkpoint.pt was started with another recipe")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("yolov2", "--backbone", "vgg16"), "--backbone goes with faster-rcnn, not with yolov2"),
        (("faster-rcnn", "--cache", "labels"), "--cache goes with captioner, not with faster-rcnn"),
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
        (LITE, ": not a data set; expected VOC's layout"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    done = within(tmp_path, "train", "faster-rcnn", "--data", ".", "--out", "out", *words)
    assert done.code == 2
    assert len(done.err) == 1
    assert says in done.err[0]
