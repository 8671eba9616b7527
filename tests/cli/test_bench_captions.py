"""`watchline bench captions`: the figures, the JSON, and what is refused."""

import json
import os
from pathlib import Path

import cv2
import models_onnx
import numpy as np
import pytest
from cli.shell import Done, within


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny captioner, and two photos of one colour."""
    models_onnx.save(models_onnx.tiny_captioner(), tmp_path)
    data = tmp_path / "photos"
    (data / "images").mkdir(parents=True)
    lines = []
    for name, colour in (("blue", (200, 0, 0)), ("red", (0, 0, 200))):
        cv2.imwrite(str(data / "images" / f"{name}.png"), np.full((40, 40, 3), colour, np.uint8))
        lines += [f"{name}.png#{i}\tA {name} picture ." for i in range(5)]
    (data / "Flickr8k.token.txt").write_text("\n".join(lines))
    (data / "Flickr_8k.testImages.txt").write_text("blue.png\nred.png\n")
    return tmp_path


def bench(folder: Path, *words: str) -> Done:
    return within(folder, "bench", "captions", "--data", "photos", "--model", "tiny.onnx", *words)


def test_a_row_of_figures_and_the_same_as_json(folder: Path) -> None:
    done = bench(folder, "--json", "figures.json")
    assert done.code == 0
    assert done.out[0].startswith("tiny at 64 x 32, onnxruntime")
    assert done.out[1].split() == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr", "ROUGE-L"]
    assert done.out[2].split()[:3] == ["1.0000", "1.0000", "1.0000"]
    assert done.out[3].startswith("of 2 photos of photos test, five captions each")
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["captions"] == {"blue.png": "a blue picture", "red.png": "a red picture"}
    assert (figures["model"], figures["bleu_1"], figures["every"]) == ("tiny", 1.0, 1)


def test_more_cores_than_settings_may_ask_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert bench(folder).code == 0


def test_a_precision_that_the_captioner_does_not_ship_in_is_refused(folder: Path) -> None:
    done = within(folder, "bench", "captions", "--data", "photos", "--precision", "int8")
    assert (done.code, done.out) == (2, [])
    assert "INT8" in done.err[-1]


def test_what_cannot_be_measured_is_one_line(folder: Path) -> None:
    done = bench(folder, "--split", "dev")
    assert done.code != 0
    assert "expected Flickr8k's layout" in done.err[-1]
    models_onnx.save(models_onnx.tiny_detector(), folder)
    done = bench(folder)
    assert done.code != 0
    assert "the captioner needs 'caption'" in done.err[-1]
