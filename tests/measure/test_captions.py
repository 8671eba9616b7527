"""Captions of a tiny captioner, which names the strongest colour of a photo."""

import cv2
import models_onnx
import numpy as np
import pytest

from watchline.measure.captions import captions
from watchline.measure.errors import DataRefused
from watchline.ops.caption_scores import Cider, bleu, rouge_l
from watchline.pipeline.stages.captioner import Captioner
from watchline.streams.errors import SourceUnreadable

COLOURS = {"blue": (200, 0, 0), "green": (0, 200, 0), "red": (0, 0, 200)}


@pytest.fixture
def folder(tmp_path):
    """Photos of one colour, of which five people wrote the colour, and one of them something else."""
    models_onnx.save(models_onnx.tiny_captioner(), tmp_path)
    (tmp_path / "images").mkdir()
    lines = []
    for name, colour in COLOURS.items():
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.full((40, 40, 3), colour, np.uint8))
        lines += [f"{name}.png#{i}\tA {name} picture ." for i in range(4)] + [f"{name}.png#4\tAll is {name} ."]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    for split, names in (("test", ["blue", "red"]), ("dev", ["green", "blue"])):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text("\n".join(f"{name}.png" for name in names))
    return tmp_path


def test_captions_of_the_pipeline_s_engine_are_compared(folder):
    progress = []
    measured = captions(
        Captioner(model=str(folder / "tiny.onnx")), folder, progress=lambda *counts: progress.append(counts)
    )
    assert measured.texts == {"blue.png": "a blue picture", "red.png": "a red picture"}
    assert progress == [(1, 2), (2, 2)]
    made = [text.split() for text in measured.texts.values()]
    written = [[f"a {name} picture".split()] * 4 + [f"all is {name}".split()] for name in ("blue", "red")]
    assert measured.bleu == bleu(made, written)
    assert measured.bleu[2] == pytest.approx(1)
    assert measured.cider == Cider(written).mean(made)
    assert measured.rouge_l == rouge_l(made, written) == pytest.approx(1)
    told = measured.as_dict()
    assert (told["photos"], told["split"], told["bleu_1"]) == (2, "test", measured.bleu[0])


def test_another_split_and_fewer_photos(folder):
    captioner = Captioner(model=str(folder / "tiny.onnx"))
    assert captions(captioner, folder, "dev", every=2).texts == {"green.png": "a green picture"}


def test_data_that_is_not_there_is_named(folder):
    captioner = Captioner(model=str(folder / "tiny.onnx"))
    with pytest.raises(DataRefused, match="expected Flickr8k's layout"):
        captions(captioner, folder / "images")
    (folder / "images" / "blue.png").write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match=r"blue\.png"):
        captions(captioner, folder)
