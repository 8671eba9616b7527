"""`watchline train vqa`: from photos with questions to a model that answers them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli.shell import within

from watchline.cli.train import SYSTEMS
from watchline.models import captioners, vqa


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos in DAQUAR's layout."""
    data = tmp_path / "photos"
    (data / "images").mkdir(parents=True)
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)
        cv2.imwrite(str(data / "images" / f"image{i}.jpg"), picture)
    for split, photos in (("train", (0, 1)), ("test", (2,))):
        rows = [
            {"image": f"image{i}", "question": f"what is on the {thing} ?", "answer": [answer]}
            for i in photos
            for thing, answer in (("table", "lamp"), ("bed", "pillow"))
        ]
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_it_trains_measures_and_says_how_to_go_on(folder: Path) -> None:
    words = ("train", "vqa", "--data", "photos", "--out", "run", "--steps", "2")
    done = within(folder, *words)
    assert done.code == 0, done.err
    assert "4 questions to learn from, 2 to measure on" in done.out
    assert any(line.startswith("test: accuracy of single words ") for line in done.out)
    assert done.out[-1] == "run/checkpoint.pt: done, 2 steps; watchline export run/checkpoint.pt -o vqa.onnx"
    blind = within(folder, *words, "--system", "blind")
    assert blind.code == 2
    assert "was started with another network, vqa: use it instead of blind" in blind.err[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("vqa", "--epochs", "5"), "--epochs goes with yolov2, not with vqa"),
        (("vqa", "--system", "show-and-tell"), "--system show-and-tell: vqa has vqa and blind"),
        (("captioner", "--system", "blind"), "--system blind: captioner has show-attend-tell and show-and-tell and"),
    ],
)
def test_options_of_other_models_are_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = within(folder, "train", *words, "--data", "photos", "--out", "run")
    assert done.code == 2
    assert says in done.err[-1]


def test_the_systems_are_those_of_the_networks() -> None:
    assert {"captioner": tuple(captioners.SYSTEMS), "vqa": tuple(vqa.SYSTEMS)} == SYSTEMS
