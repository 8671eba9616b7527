import json

import numpy as np
import onnx
import pytest
from clips import write_photo
from models_onnx import tiny_vqa

from watchline.measure.errors import DataRefused
from watchline.measure.vqa import answers
from watchline.ops import wordnet
from watchline.pipeline.stages.asker import Asker


@pytest.fixture
def asker(tmp_path):
    onnx.save(tiny_vqa(), tmp_path / "vqa.onnx")
    return Asker(question="any", model=str(tmp_path / "vqa.onnx"))


@pytest.fixture
def folder(tmp_path):
    """A red and a blue photo, with three questions of which two are answered rightly."""
    (tmp_path / "images").mkdir()
    for name, colour in (("one", (0, 0, 200)), ("two", (200, 0, 0))):
        # JPEG keeps a plain colour
        write_photo(tmp_path / "images" / f"{name}.jpg", np.full((64, 64, 3), colour, np.uint8))
    rows = [("one", "what colour is it ?", ["red"]), ("one", "how many ?", ["2"]), ("two", "what colour ?", ["blue"])]
    lines = [json.dumps({"image": image, "question": asked, "answer": answer}) for image, asked, answer in rows]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_the_likeliest_answers_are_compared_with_peoples(asker, folder, monkeypatch):
    monkeypatch.setattr(wordnet, "FOLDER", folder / "no-wordnet")
    told = []
    measured = answers(asker, folder, progress=lambda done, of: told.append((done, of)))
    assert measured.answers == ["red", "two_cats", "blue"]
    assert measured.figures == {"accuracy of single words": pytest.approx(2 / 3), "accuracy": pytest.approx(2 / 3)}
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert measured.as_dict()["questions"] == 3
    assert answers(asker, folder, every=2).answers == ["red", "blue"]


@pytest.mark.parametrize("question", ["", "?", "what " * 40 + "many ?"])
def test_a_question_of_any_length_is_read_as_in_training(asker, folder, question):
    (folder / "test.jsonl").write_text(json.dumps({"image": "one", "question": question, "answer": ["red"]}))
    assert answers(asker, folder).answers == ["red"]


def test_data_that_is_not_there_is_named(asker, tmp_path):
    with pytest.raises(DataRefused, match=r"expected DAQUAR's layout: train\.jsonl"):
        answers(asker, tmp_path, "train")
