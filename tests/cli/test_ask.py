"""`watchline ask` as a user types it."""

import cv2
import numpy as np
import onnx
import pytest
from cli.shell import within
from clips import write_clip, write_photo
from models_onnx import tiny_captioner, tiny_vqa

QUESTION = "What colour is it?"


@pytest.fixture
def folder(tmp_path):
    onnx.save(tiny_vqa(), tmp_path / "vqa.onnx")
    onnx.save(tiny_captioner(), tmp_path / "words.onnx")
    write_photo(tmp_path / "photo.png", np.full((64, 96, 3), (0, 0, 255), np.uint8))
    colours = np.uint8([(200, 0, 0), (0, 200, 0)])
    write_clip(
        tmp_path / "clip.mp4",
        20,
        (64, 48),
        rate=10,
        draw=lambda index: np.full((48, 64, 3), colours[index // 10], np.uint8),
    )
    return tmp_path


def asked(folder, *words, model="vqa.onnx"):
    return within(folder, "ask", *words, "--model", model)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("photo.png", QUESTION), "red (60%)"),
        (("photo.png", "How many?"), "two cats (70%)"),
        (("photo.png", QUESTION, "--choices", "two cats,green,blue"), "green (75%)"),
        (("photo.png", QUESTION, "--choices", "green,Green,blue"), "green (75%)"),
        (("clip.mp4", QUESTION), "blue (60%)"),
        (("clip.mp4", QUESTION, "--at", "950ms"), "blue (60%)"),
        (("clip.mp4", QUESTION, "--at", "1s"), "green (60%)"),
        (("clip.mp4", QUESTION, "--at", "2s"), "green (60%)"),
    ],
)
def test_the_answer_is_printed(folder, words, answer):
    done = asked(folder, *words)
    assert (done.code, done.out, done.err) == (0, [answer], [])


def test_where_it_looked_for_each_word(folder):
    done = asked(folder, "photo.png", QUESTION, "--attention", "looked.png")
    assert (done.code, done.out) == (0, ["red (60%)"])
    sheet = cv2.imread(str(folder / "looked.png"))
    assert sheet.shape[1] > 5 * 240  # the photo, and a tile for each of four words and "?"
    assert asked(folder, "photo.png", QUESTION, "--attention", "looked.png").code == 2


def test_a_word_that_is_not_known_is_said(folder):
    done = asked(folder, "photo.png", "What colour is it, zebra?")
    assert (done.code, done.out) == (0, ["red (60%)"])
    assert "watchline: the model does not know 'zebra': it hears" in done.err[-1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("nothing.png", QUESTION), "nothing.png"),
        (("photo.png", "?"), "question is '?', a question of 0 words: expected 1 to 31"),
        (("photo.png", QUESTION, "--choices", "grene"), "unknown answer 'grene'"),
        (("photo.png", QUESTION, "--at", "1s"), "--at is for videos: a photo has one picture"),
        (("clip.mp4", QUESTION, "--at", "9s"), "--at 9 s: clip.mp4 ends at 1.90 s; name an earlier time"),
        (("clip.mp4", QUESTION, "--at", "soon"), "'soon': expected a time, e.g. 45s"),
        ((".", QUESTION), "expected one photo or video file"),
        (("photo.png", QUESTION, "--attention", "photo.png", "--overwrite"), "is the photo itself"),
        (("photo.png", QUESTION, "--attention", "out.gif"), "expected the name of a .png or .jpg"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder, words, why):
    done = asked(folder, *words)
    assert done.code == 2
    assert why in done.err[-1]


def test_a_captioner_answers_no_questions(folder):
    done = asked(folder, "photo.png", QUESTION, model="words.onnx")
    assert done.code == 2
    assert "the asker needs 'answer'" in done.err[-1]
