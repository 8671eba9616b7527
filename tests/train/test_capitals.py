"""The recipe of the tagger."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from watchline.models.errors import CheckpointError
from watchline.models.tagger import bidirectional, forward_only
from watchline.train import text
from watchline.train.capitals import OVERLAP, Recipe, found, load, restored, tagged, task, train

ORDER = np.random.default_rng(0).integers(0, 2, 300)
LINES = "".join(("rome is far.\n", "ROME:\n")[one] for one in ORDER)
TEXT = text.of(LINES, 1, "text")
RECIPE = Recipe(hidden=16, steps=20, batch=4, length=24, save_every=10, warmup=5, rate=2e-2)


def test_the_task_is_the_text_in_lower_case_and_where_capitals_were():
    mine = task(TEXT, TEXT.measure)
    whole = LINES[len(TEXT.learn) :]
    assert "".join(mine.characters[n] for n in mine.numbers) == whole.lower()
    assert mine.capitals.tolist() == [c.isupper() for c in whole]
    assert restored(TEXT, mine.numbers, mine.capitals) == whole


def test_a_capital_that_is_two_letters_in_lower_case_stays():
    odd = text.of("İa" * 20, 1, "text")
    mine = task(odd, odd.measure)
    assert mine.characters == "aİ"
    assert not mine.capitals.any()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path):
    list(train(TEXT, tmp_path / "whole", RECIPE, 1))
    first = train(TEXT, tmp_path / "parts", RECIPE, 1)
    for _ in range(15):
        next(first)
    first.close()
    assert [f["step"] for f in train(TEXT, tmp_path / "parts", RECIPE, 1)] == list(range(11, 21))
    ours, theirs = (torch.load(tmp_path / part / "checkpoint.pt")["model"] for part in ("whole", "parts"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    with pytest.raises(CheckpointError, match="was begun with another text"):
        load(tmp_path / "whole", text.of(LINES.replace("s", "x"), 1, "text"), RECIPE)


def test_the_future_tells_whether_rome_speaks(tmp_path):
    recipe = replace(RECIPE, steps=150)
    f1 = {}
    for build in (bidirectional, forward_only):
        list(train(TEXT, tmp_path / build.__name__, recipe, 1, build))
        f1[build] = found(load(tmp_path / build.__name__, TEXT, recipe, build), task(TEXT, TEXT.measure)).f1
    assert f1[bidirectional] > 0.99
    assert f1[forward_only] < 0.9


def test_pieces_of_a_long_text_are_tagged_as_the_whole():
    torch.manual_seed(0)
    model = bidirectional(5, 4)
    with torch.no_grad():
        model.layer.onward.cell.h.weight.mul_(0.3)  # it forgets within the overlap
        model.layer.back.cell.h.weight.mul_(0.3)
    numbers = torch.from_numpy(np.random.default_rng(0).integers(0, 5, 3 * OVERLAP + 7))
    whole = model(numbers[None])[0] > 0
    for length in (1, 20, OVERLAP, 1000):
        assert torch.equal(tagged(model, numbers, length), whole)


def test_figures_are_counted_by_hand():
    class Says(torch.nn.Module):
        def forward(self, numbers):
            return torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0]])

    mine = task(text.of("ABcDe" * 10, 1, "text"), np.array([0, 3, 1, 2, 4]))  # A, c, B, D, e
    assert mine.capitals.tolist() == [True, False, True, True, False]
    assert tuple(found(Says(), mine)) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
