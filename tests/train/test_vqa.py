import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from watchline.engines.tasks import LONGEST_QUESTION
from watchline.models.errors import CheckpointError, DatasetError
from watchline.models.vqa import SYSTEMS
from watchline.ops.daquar import Asked
from watchline.train import vqa
from watchline.train.vqa import Recipe, answered, batch_of, train
from watchline.train.vqa_data import Split, answers, numbers, padded, split, targets, vocabulary

QUESTIONS = ["what is on the left side of the lamp ?", "what colour is it ?", "how many chairs are there ?"]
ANSWERS = [("table", "lamp"), ("red",), ("2",), ("lamp",)]
RECIPE = Recipe(steps=6, photos=2, warmup=2, save_every=2)


def learnt(photos=4, seed=0) -> Split:
    """Three questions about each photo, and random maps."""
    asked = [Asked(None, question, ANSWERS[(i + j) % 4]) for i in range(photos) for j, question in enumerate(QUESTIONS)]
    maps = np.random.default_rng(seed).normal(size=(photos, 2, 320, 2, 2)).astype(np.float16)
    return Split(asked, np.repeat(np.arange(photos), 3), maps)


@pytest.fixture
def small(monkeypatch):
    """Networks without a backbone, as its maps are given."""

    def build(learn, recipe):
        torch.manual_seed(recipe.seed)
        model = SYSTEMS[recipe.system](
            vocabulary(learn.asked), answers(learn.asked), embedding=8, hidden=12, dropout=recipe.dropout
        )
        if recipe.system == "vqa":
            model.backbone = torch.nn.Identity()
        return model

    monkeypatch.setattr(vqa, "build", build)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(system, small, tmp_path):
    recipe = replace(RECIPE, system=system)
    whole = list(train(learnt(), tmp_path / "whole", recipe, 1))
    assert [figures["step"] for figures in whole] == [1, 2, 3, 4, 5, 6]
    first = train(learnt(), tmp_path / "parts", recipe, 1)
    for _ in range(3):
        next(first)
    first.close()
    rest = list(train(learnt(), tmp_path / "parts", recipe, 1))
    assert [figures["loss"] for figures in rest] == [figures["loss"] for figures in whole[3:]]
    ours, theirs = (torch.load(tmp_path / part / "checkpoint.pt") for part in ("whole", "parts"))
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())


def test_other_questions_or_another_recipe_are_refused(small, tmp_path):
    list(train(learnt(), tmp_path, RECIPE, 1))
    with pytest.raises(CheckpointError, match=r"started with another recipe: rate 0.003 \(now 0.1\)"):
        next(train(learnt(), tmp_path, replace(RECIPE, rate=0.1), 1))
    with pytest.raises(CheckpointError, match="started with other classes"):
        other = learnt()
        next(train(replace(other, asked=[one._replace(answer=("no",)) for one in other.asked]), tmp_path, RECIPE, 1))


def test_questions_without_an_answer_in_common_are_refused(tmp_path):
    learn = learnt()
    unlike = [one._replace(answer=(f"thing{n}",)) for n, one in enumerate(learn.asked)]
    with pytest.raises(DatasetError, match="none of 12 questions has an answer that another one has"):
        next(train(replace(learn, asked=unlike), tmp_path, RECIPE, 1))


def test_a_step_has_all_questions_of_its_photos(small):
    learn, recipe = learnt(), replace(RECIPE, photos=2)
    model = vqa.build(learn, recipe)
    taught, wanted = np.arange(12) != 4, torch.arange(12.0)[:, None]
    epoch = [batch_of(step, learn, taught, wanted, model, recipe) for step in (2, 3)]
    assert sorted(int(n) for batch in epoch for n in batch.targets) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    for batch in epoch:
        assert len(batch.maps) == 2
        assert len(batch.photos) == len(batch.questions) == len(batch.targets)
        its = [learn.photos[int(n)] for n in batch.targets]
        assert [its.index(photo) for photo in its] == [batch.photos.tolist().index(n) for n in batch.photos.tolist()]


def test_left_is_right_in_the_mirror(small):
    learn, number = learnt(), torch.arange(12.0)[:, None]
    model = vqa.build(learn, RECIPE)
    left, seen = model.words.index("left"), set()
    for step in range(4):
        batch = batch_of(step, learn, np.full(12, True), number, model, replace(RECIPE, photos=4, hidden_words=0.0))
        for row, which, n in zip(batch.questions.tolist(), batch.photos, batch.targets.long().flatten(), strict=True):
            shown = [torch.from_numpy(view).float() for view in learn.maps[learn.photos[n]]]
            is_mirrored = torch.equal(batch.maps[which], shown[1])
            assert is_mirrored or torch.equal(batch.maps[which], shown[0])
            if n % 3 == 0:  # it asks for the left side
                assert (left in row) == (not is_mirrored)
                seen.add(is_mirrored)
    assert seen == {True, False}
    assert numbers("left right lamp", {"left": 1, "right": 2, "lamp": 3}, is_mirrored=True) == [2, 1, 3]


def test_some_words_are_hidden_but_never_the_end(small):
    learn = learnt()
    model = vqa.build(learn, RECIPE)
    wanted = torch.zeros(12, 4)
    every = batch_of(0, learn, np.full(12, True), wanted, model, replace(RECIPE, hidden_words=1.0)).questions
    assert set(every.flatten().tolist()) == {0, model.unknown}
    assert (every[:, -1] == 0).all()


def test_words_and_answers_that_are_seen_twice_are_learnt():
    asked = [Asked(None, q, a) for q, a in (("What is it?", ("lamp", "2")), ("what's the lamp ?", ("lamp",)))]
    assert vocabulary(asked) == ["?", "what"]
    assert answers(asked) == ["lamp"]
    assert numbers("What is this?", {"?": 0, "what": 1}) == [1, 2, 2]
    assert len(numbers("word " * 100, {})) == LONGEST_QUESTION - 1
    assert padded([[1, 2], [3]]).tolist() == [[1, 2, 0], [3, 0, 0]]
    known = {"lamp": 0, "2": 1, "x": 2}
    assert targets([*asked, Asked(None, "", ("y",))], known).tolist() == [[0.5, 0.5, 0], [1, 0, 0], [0, 0, 0]]


def test_the_likeliest_answers_are_measured(small):
    learn = learnt()
    model = vqa.build(learn, RECIPE).eval()
    with torch.no_grad():
        model.answer.bias.copy_(10.0 * torch.arange(len(model.answers)))
    assert answered(model, learn) == [model.answers[-1]] * 12


def test_a_split_is_read_with_its_maps(tmp_path):
    (tmp_path / "images").mkdir()
    rows = []
    for i, name in enumerate(("one", "two")):
        picture = np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), picture)
        rows += [json.dumps({"image": name, "question": question, "answer": ["lamp"]}) for question in QUESTIONS]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    read = split(tmp_path, "train", tmp_path, lambda _: None)
    assert read.photos.tolist() == [0, 0, 0, 1, 1, 1]
    assert read.maps.shape == (2, 2, 320, 14, 14)
    assert np.abs(read.maps).max() > 0
    (tmp_path / "train.jsonl").write_text("\n".join(rows[::-1]))  # as many photos, in another order
    turned = split(tmp_path, "train", tmp_path, lambda _: None)
    assert np.array_equal(turned.maps, read.maps[::-1])
