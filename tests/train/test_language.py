"""The recipe of language models."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from watchline.engines.language import LanguageModel
from watchline.models.errors import CheckpointError, DatasetError
from watchline.models.language import LanguageModel as Network
from watchline.train import text
from watchline.train.language import (
    Recipe,
    bits_per_character,
    is_stage,
    sample,
    schedule,
    train,
)

LINES = "JULIET: O Romeo!\nROMEO: a bar, a rose\n"
TEXT = text.of(LINES * 40, 1, "text")
RECIPE = Recipe(kind="rnn", hidden=12, steps=35, batch=4, length=8, save_every=10, warmup=5)


def told(_: str) -> None:
    pass


@pytest.mark.parametrize("kind", ["rnn", "deep-rnn", "lstm"])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(kind, tmp_path):
    recipe, heard = replace(RECIPE, kind=kind), []
    whole = list(train(TEXT, tmp_path / "whole", recipe, 1, heard.append))
    assert [f["step"] for f in whole] == list(range(1, 36))
    assert len(heard) == 3
    first = train(TEXT, tmp_path / "parts", recipe, 1, told)
    for _ in range(25):
        next(first)
    first.close()  # the checkpoint is of step 20
    rest = list(train(TEXT, tmp_path / "parts", recipe, 1, told))
    assert [f["step"] for f in rest] == list(range(21, 36))
    ours, theirs = (torch.load(tmp_path / part / "checkpoint.pt") for part in ("whole", "parts"))
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())
    stages = [(tmp_path / part / "stages.jsonl").read_text() for part in ("whole", "parts")]
    assert stages[0] == stages[1]
    with LanguageModel(tmp_path / "parts" / "model.onnx") as model:
        assert model.about.characters == TEXT.characters
        assert model.about.figures == {
            "bits per character on the last tenth": json.loads(stages[0].splitlines()[-1])["bits"]
        }


def test_another_recipe_or_text_is_refused(tmp_path):
    list(train(TEXT, tmp_path, replace(RECIPE, steps=1), 1, told))
    with pytest.raises(CheckpointError, match=r"steps 1 \(now 35\)"):
        next(train(TEXT, tmp_path, RECIPE, 1, told))
    other = text.of(LINES.lower() * 40, 1, "text")
    with pytest.raises(CheckpointError, match="was begun with another text"):
        next(train(other, tmp_path, replace(RECIPE, steps=1), 1, told))


def test_it_learns_the_text(tmp_path):
    figures = list(train(TEXT, tmp_path, replace(RECIPE, kind="lstm", hidden=24, steps=300, rate=2e-2), 1, told))
    assert figures[0]["bits"] == pytest.approx(math.log2(len(TEXT.characters)), rel=0.1)
    last = json.loads((tmp_path / "stages.jsonl").read_text().splitlines()[-1])
    assert last["bits"] < 1  # of the last tenth, which repeats what was learnt
    assert len(last["sample"]) == 300
    assert "Romeo" in last["sample"]


def test_bits_per_character_are_those_of_a_loop():
    torch.manual_seed(0)
    model = Network(TEXT.characters, "lstm", 8)
    numbers = TEXT.measure[:61]
    bits, states = [], model.zeros(1)
    for now, then in pairwise(numbers):
        logits, states = model(torch.tensor([[now]]), states)
        bits.append(-logits[0, 0].log_softmax(0)[then].item() / math.log(2))
    assert bits_per_character(model, numbers, length=60) == pytest.approx(np.mean(bits), rel=1e-5)
    assert bits_per_character(model, numbers, length=31) == pytest.approx(np.mean(bits), rel=1e-5)


def test_what_is_measured_on_is_not_learnt_from():
    read = text.of("abcdefghij" * 10, 1, "text")
    assert (len(read.learn), len(read.measure)) == (90, 10)
    np.testing.assert_array_equal(np.concatenate([read.learn, read.measure]), np.tile(np.arange(10), 10))
    rows = text.streams(read.learn, 4)
    assert rows.shape == (4, 22)
    np.testing.assert_array_equal(rows.ravel(), read.learn[:88])


def test_texts_that_are_too_large_or_strange_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="it has 4097 different characters; expected up to 4096"):
        text.of("".join(map(chr, range(0x4E00, 0x4E00 + 4097))), 1, "text")
    (tmp_path / "long.txt").write_text("long")
    monkeypatch.setattr(text, "MOST_BYTES", 3)
    with pytest.raises(DatasetError, match="it has 4 bytes; expected up to 3: cut it"):
        text.read(tmp_path / "long.txt", 1)
    with pytest.raises(DatasetError, match=r"it cannot be read \(No such file or directory\)"):
        text.read(tmp_path / "none.txt", 1)


def test_a_sample_is_the_same_for_the_same_network():
    torch.manual_seed(0)
    model = Network(TEXT.characters, "rnn", 8)
    assert sample(model, 30) == sample(model, 30)


def test_stages_are_at_steps_that_double_and_the_last():
    recipe = replace(RECIPE, steps=100)
    assert [n for n in range(1, 101) if is_stage(n, recipe)] == [16, 32, 64, 100]


def test_the_rate_rises_and_falls():
    shares = [schedule(n, replace(RECIPE, steps=100)) for n in range(100)]
    assert shares[0] == pytest.approx(0.2, abs=0.01)
    assert max(shares) == shares[4]
    assert shares[-1] == pytest.approx(0.01, abs=0.001)
