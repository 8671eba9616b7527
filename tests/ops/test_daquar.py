import json

import pytest

from watchline.ops.daquar import Asked, read
from watchline.ops.errors import AnnotationRefused

ROW = {"image": "image3", "question": "what is on the desk ?", "answer": ["book", "lamp"]}


def test_the_questions_of_a_split_have_their_photos_and_answers(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "answer": ["2"]}) + "\n")
    photo = tmp_path / "images" / "image3.jpg"
    question = "what is on the desk ?"
    assert read(tmp_path, "test") == [Asked(photo, question, ("book", "lamp")), Asked(photo, question, ("2",))]


def test_a_folder_of_another_layout_is_named(tmp_path):
    with pytest.raises(AnnotationRefused, match=r"expected DAQUAR's layout: train\.jsonl with questions"):
        read(tmp_path, "train")
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(AnnotationRefused, match="has no question"):
        read(tmp_path, "train")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '"image3"',
        *(
            json.dumps({**ROW, **change})
            for change in (
                {"image": "../image3"},
                {"image": 3},
                {"question": None},
                {"answer": []},
                {"answer": "book"},
                {"answer": ["a", 1]},
            )
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path, line):
    (tmp_path / "train.jsonl").write_text(json.dumps(ROW) + "\n" + line + "\n")
    with pytest.raises(AnnotationRefused, match=r"train\.jsonl, line 2: it is .*; expected \{\"image\": \"image3\""):
        read(tmp_path, "train")


@pytest.mark.parametrize(
    "word", ["", " ", "lamp\n", "night\nstand", "night stand", "Lamp", "la\x07mp", "\x00", "\u202elamp", "\ud800"]
)
def test_an_answer_that_no_model_can_give_is_named(tmp_path, word):
    rows = [ROW, {**ROW, "answer": ["lamp", word]}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        AnnotationRefused, match=r"train\.jsonl, line 2: the answer '.*': expected a word in lower case"
    ):
        read(tmp_path, "train")
