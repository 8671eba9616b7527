"""`watchline train captioner`: from photos with captions to a model that captions them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from cli.shell import within

SENTENCES = ("A dog runs .", "A dog sits on grass .", "The dog is red .", "A dog .", "A red dog runs .")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos in Flickr8k's layout."""
    data = tmp_path / "photos"
    (data / "images").mkdir(parents=True)
    lines = []
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)
        cv2.imwrite(str(data / "images" / f"{i}.jpg"), picture)
        lines += [f"{i}.jpg#{j}\t{sentence}" for j, sentence in enumerate(SENTENCES)]
    (data / "Flickr8k.token.txt").write_text("\n".join(lines))
    (data / "Flickr_8k.trainImages.txt").write_text("0.jpg\n1.jpg\n")
    (data / "Flickr_8k.devImages.txt").write_text("2.jpg\n")
    return tmp_path


def test_it_trains_and_says_how_to_go_on(folder: Path) -> None:
    words = ("train", "captioner", "--data", "photos", "--out", "run", "--epochs", "1", "--system", "deep-image-sent")
    done = within(folder, *words)
    assert done.code == 0
    assert any(line.startswith("2 photos to learn from, 1 to measure") for line in done.out)
    assert any(line.startswith("dev: step 1, bleu4 ") for line in done.out)
    assert done.out[-1] == ("run/checkpoint.pt: done, 2 steps; watchline export run/checkpoint.pt -o captioner.onnx")
    assert (folder / "run" / "checkpoint.pt").is_file()
    again = within(folder, *words[:-1], "show-and-tell")
    assert again.code != 0
    assert "system deep-image-sent (now show-and-tell)" in again.err[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("captioner", "--steps", "5"), "--steps: a captioner is trained for whole epochs; name --epochs"),
        (("captioner", "--backbone", "vgg16"), "--backbone goes with faster-rcnn, not with captioner"),
        (("yolov2", "--system", "show-and-tell"), "--system goes with captioner, not with yolov2"),
    ],
)
def test_options_of_other_models_are_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = within(folder, "train", *words, "--data", "photos", "--out", "run")
    assert done.code == 2
    assert says in done.err[-1]
