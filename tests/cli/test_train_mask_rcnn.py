"""`watchline train mask-rcnn`: a whole short training, its export, and what it says of data that it cannot use."""

from pathlib import Path

import cv2
import numpy as np
import torch
from cli.shell import within


def street(folder: Path) -> None:
    """51 photos in Penn-Fudan's layout: the last fifty are the test, so one is trained on."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(51):
        plane = np.zeros((60, 80), np.uint8)
        plane[10:50, 20:40] = 1
        cv2.imwrite(str(folder / "images" / f"{number:02}.png"), np.repeat(90 * plane[..., None], 3, axis=2))
        cv2.imwrite(str(folder / "masks" / f"{number:02}.png"), plane)


def test_it_trains_and_is_exported(tmp_path: Path) -> None:
    street(tmp_path / "street")
    words = ("train", "mask-rcnn", "--data", "street", "--out", "out", "--threads", "1", "--batch", "1")
    done = within(tmp_path, *words, "--steps", "1")
    assert done.code == 0, done.err
    assert done.out[1] == "1 pictures, 1 people"
    assert done.out[2].startswith("step 1/1  loss ")
    assert "  mask 0." in done.out[2]
    assert done.out[3] == "out/checkpoint.pt: done, 1 steps; watchline export out/checkpoint.pt -o mask-rcnn.onnx"
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert (saved["network"], saved["step"]) == ("mask-rcnn", 1)
    made = within(tmp_path, "export", "out/checkpoint.pt", "-o", "masks.onnx")
    assert made.code == 0, made.err
    assert made.out[0] == "out/checkpoint.pt: masks objects of 1 classes at 512 x 448 pixels"


def test_data_without_masks_and_options_of_others_are_refused(tmp_path: Path) -> None:
    done = within(tmp_path, "train", "mask-rcnn", "--data", ".", "--out", "out")
    assert done.code != 0
    assert "not a data set with masks" in done.err[-1]
    done = within(tmp_path, "train", "mask-rcnn", "--data", ".", "--out", "out", "--backbone", "vgg16")
    assert "--backbone goes with faster-rcnn, not with mask-rcnn" in done.err[-1]


def test_it_goes_on_from_what_ships(tmp_path: Path) -> None:
    street(tmp_path / "street")
    words = ("train", "mask-rcnn", "--data", "street", "--threads", "1", "--batch", "1", "--steps", "1", "--from")
    done = within(tmp_path, *words, "mask-rcnn-lite0", "--out", "on")
    assert done.code == 0, done.err
    weights = torch.load(tmp_path / "on" / "checkpoint.pt", weights_only=True)["model"]
    assert weights["rpn.objectness.bias"].abs().max() > 0.005  # a new network's begins with zeros
    done = within(tmp_path, *words, "yolov2-slim", "--out", "other")
    assert done.code != 0
    assert "yolov2-slim.onnx: it is no LiteMaskRCNN that `watchline export` wrote" in done.err[-1]
