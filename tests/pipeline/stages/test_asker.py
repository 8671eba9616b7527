"""The asker stage: when it asks, which frames an answer stands for, and that no live frame waits for one."""

import json
import threading
from fractions import Fraction

import numpy as np
import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_vqa

from watchline import ANSWER, Annotate, Annotator, Answer, Asker, Files, FileSource, Job
from watchline.errors import SettingsError
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.message import Item
from watchline.pipeline.stages.modelled import Engines
from watchline.streams.frame import ArrayPicture, Frame

RATE, SIZE = 10, (64, 32)
COLOUR = "What colour is it?"


@pytest.fixture
def model(tmp_path):
    onnx.save(tiny_vqa(), tmp_path / "vqa.onnx")
    return str(tmp_path / "vqa.onnx")


def coloured(channel):
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[..., channel] = 200
    return pixels


def frame(index, channel, live=False, file=None):
    return Frame(
        "a",
        index,
        index,
        Fraction(1, RATE),
        ArrayPicture(coloured(channel)),
        epoch=0 if live else None,
        time=index / RATE if live else None,
        file=file,
    )


def test_of_a_file_it_asks_every_interval_and_the_answer_stands(model):
    with Asker(question=COLOUR, model=model, interval=0.5).open() as work:
        items = [work([Item(frame(index, channel=2 if index < 7 else 0))])[0] for index in range(12)]
    answers = [item.result(ANSWER) for item in items]
    assert [(answer.text, answer.frame) for answer in answers] == [("red", 0)] * 5 + [("red", 5)] * 5 + [
        ("blue", 10)
    ] * 2
    assert (answers[0].question, answers[0].score, answers[0].age) == (COLOUR, pytest.approx(0.6), None)


def test_each_photo_is_asked_about(model):
    with Asker(question="How many?", model=model, interval="1h").open() as work:
        items = work([Item(frame(index, 1, file=f"{index}.png")) for index in range(3)])
    assert [(item.result(ANSWER).text, item.result(ANSWER).frame) for item in items] == [
        ("two cats", 0),
        ("two cats", 1),
        ("two cats", 2),
    ]


def test_one_of_the_choices_is_the_answer(model):
    with Asker(question=COLOUR, model=model, choices=("Two cats", "green", "blue")).open() as work:
        [item] = work([Item(frame(0, channel=2))])
    assert (item.result(ANSWER).text, item.result(ANSWER).score) == ("green", pytest.approx(0.75))


def test_streams_may_have_questions_of_their_own(model):
    asker = Asker(question=COLOUR, model=model, streams={"b": {"question": "How many?"}})
    with asker.open() as work:
        asked = [work([Item(frame(0, 2))]), work([Item(Frame("b", 0, 0, Fraction(1), ArrayPicture(coloured(2))))])]
    assert [item.result(ANSWER).text for [item] in asked] == ["red", "two cats"]


def test_no_live_frame_waits_for_an_answer(model, monkeypatch):
    may, run = threading.Event(), Engines.run

    def slowly(self, batch):
        assert may.wait(20)
        return run(self, batch)

    monkeypatch.setattr(Engines, "run", slowly)
    with Asker(question=COLOUR, model=model, interval=60.0).open() as work:
        assert work([Item(frame(0, 2, live=True))])[0].result(ANSWER) is None
        assert work([Item(frame(1, 2, live=True))])[0].result(ANSWER) is None
        may.set()
        index, answer = 2, None
        while answer is None and index < 100_000:
            answer = work([Item(frame(index, 2, live=True))])[0].result(ANSWER)
            index += 1
    assert (answer.text, answer.frame) == ("red", 0)
    assert answer.age == pytest.approx((index - 1) / RATE)


def test_the_answer_is_in_the_events_and_on_the_picture(tmp_path, model):
    clip = write_clip(tmp_path / "clip.mp4", 12, SIZE, rate=RATE, draw=lambda _: coloured(0))
    stages = [Asker(question=COLOUR, model=model, interval=1.0), Annotator()]
    work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / "out", None)]))
    list(work.run())
    [file] = (tmp_path / "out").glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    answers = [line["answer"] for line in lines if "answer" in line]
    assert answers == [{"question": COLOUR, "text": "blue", "score": 0.6, "frame": n} for n in [0] * 10 + [10] * 2]
    with Annotator().open() as draw:
        plain = Item(frame(0, 0))
        [drawn] = draw([plain.with_result(ANSWER, Answer(COLOUR, "blue", 0.6, 0))])
        long = "what is the colour of it " * 40
        [one], [other] = (draw([plain.with_result(ANSWER, Answer(long, text, 0.6, 0))]) for text in ("red", "blue"))
    assert (drawn.drawn != coloured(0)).any()
    assert (one.drawn != other.drawn).any()  # the question is cut, not the answer


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "question is '', a question of 0 words: expected 1 to 31"),
        ({"question": "?"}, "question is '?', a question of 0 words: expected 1 to 31"),
        ({"question": "why " * 40}, "a question of 40 words: expected 1 to 31"),
        ({"question": COLOUR, "interval": 0}, "interval"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, why):
    with pytest.raises(SettingsError, match=why.replace("?", r"\?")):
        Asker(**given)


def test_a_choice_that_the_model_does_not_know_is_refused_before_it_runs(model):
    with pytest.raises(ConfigError, match=r"choices: unknown answer 'grene': did you mean 'green'"):
        Asker(question=COLOUR, model=model, choices=("grene",)).check()


def test_a_word_that_the_model_does_not_know_is_said(model, caplog):
    with Asker(question="What colour is the zebra?", model=model).open() as work:
        work([Item(frame(0, 2))])
    assert "a: the model does not know 'the', 'zebra': it hears the question without" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"score": 1.5}, {"score": float("nan")}, {"text": None}, {"question": "x" * 1001}, {"frame": -1}, {"age": -1}],
)
def test_an_answer_from_another_host_is_checked(wrong):
    value, arrays = ANSWER.packed(Answer(COLOUR, "red", 0.5, 3, age=1.0))
    assert ANSWER.unpacked(value, arrays) == Answer(COLOUR, "red", 0.5, 3, age=1.0)
    with pytest.raises(ValueError, match="an answer"):
        ANSWER.unpacked({**value, "words": {**value["words"], **wrong}}, arrays)
