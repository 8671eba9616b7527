import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from watchline.models.beam import STEPS
from watchline.models.captioners import SYSTEMS
from watchline.models.errors import CheckpointError
from watchline.ops.caption_scores import Cider
from watchline.train import captions
from watchline.train.captions import Recipe, best, figures_of, schedule, steps_of, train
from watchline.train.captions_data import Split, numbers, split, vocabulary
from watchline.train.captions_loss import batch_of, doubly_stochastic, ended, reward_loss, sample

SENTENCES = ["a dog runs on grass", "a cat sits", "two dogs run", "a dog sits on a red mat", "the cat"]
RECIPE = Recipe(epochs=2, reward_epochs=1, photos=2, warmup=2, save_every=2, samples=3)


def learnt(count=4, seed=0) -> Split:
    """Photos with five captions each, and random maps."""
    rng = np.random.default_rng(seed)
    written = [[SENTENCES[(i + j) % 5].split() for j in range(5)] for i in range(count)]
    return Split([], written, rng.normal(size=(count, 2, 320, 2, 2)).astype(np.float16))


@pytest.fixture
def small(monkeypatch):
    """Networks without a backbone, as its maps are given."""

    def build(known, recipe):
        torch.manual_seed(recipe.seed)
        return SYSTEMS[recipe.system](known, embedding=8, hidden=12, dropout=recipe.dropout)

    monkeypatch.setattr(captions, "build", build)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(system, small, tmp_path):
    recipe, heard = replace(RECIPE, system=system), []
    whole = list(train(learnt(), learnt(2), tmp_path / "whole", recipe, 1, heard.append))
    assert [f["step"] for f in whole] == [1, 2, 3, 4, 5, 6]
    assert {"entropy" in f for f in whole[:4]} == {True}
    assert {"cider" in f for f in whole[4:]} == {True}
    assert len(heard) == 3
    first = train(learnt(), learnt(2), tmp_path / "parts", recipe, 1, heard.append)
    for _ in range(5):
        next(first)
    first.close()  # the checkpoint is of step 4
    rest = list(train(learnt(), learnt(2), tmp_path / "parts", recipe, 1, heard.append))
    assert [f["step"] for f in rest] == [5, 6]
    ours, theirs = (torch.load(tmp_path / part / "checkpoint.pt") for part in ("whole", "parts"))
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())
    assert list(train(learnt(), learnt(2), tmp_path / "parts", recipe, 1, heard.append)) == []


def test_another_recipe_is_refused(small, tmp_path):
    list(train(learnt(), learnt(2), tmp_path, RECIPE, 1, lambda _: None))
    with pytest.raises(CheckpointError, match=r"started with another recipe: samples 3 \(now 4\)"):
        next(train(learnt(), learnt(2), tmp_path, replace(RECIPE, samples=4), 1, lambda _: None))


def test_what_is_drawn_is_likely_and_belongs_to_its_photo(small):
    model = captions.build(["<end>", "a", "b", "c"], RECIPE).eval()
    with torch.no_grad():
        model.bias.copy_(torch.tensor([2.0, 8.0, 2.0, -50.0]))
    torch.manual_seed(0)
    drawn = sample(model, torch.randn(2, 320, 2, 2), 40)
    assert [photo for photo, _ in drawn] == [0] * 40 + [1] * 40
    words = [word for _, caption in drawn for word in caption]
    assert 3 not in words
    assert words.count(1) > 20 * words.count(2)
    assert max(len(caption) for _, caption in drawn) <= 20


def test_the_reward_makes_what_is_right_more_likely(small):
    """What is drawn after 60 steps is worth three to four times as much, whatever the seed; half of that is wanted."""
    model = captions.build(["<end>", *"abc"], RECIPE).eval()
    cider = Cider([[[1, 2, 0]], [[2, 3, 0]], [[3, 0]]])
    maps = 3 * torch.randn(3, 320, 2, 2)

    def worth():
        return np.mean([cider.score(photo, ended(words)) for photo, words in sample(model, maps, 100)])

    before = worth()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(60):
        loss = reward_loss(model, maps, cider, [0, 1, 2], 16)["reward"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert worth() > 2 * before


def test_a_caption_that_did_not_end_has_no_end():
    assert ended([1, 2]) == [1, 2, 0]
    assert ended([1] * 20) == [1] * 20


def test_every_place_that_is_looked_at_once_costs_nothing():
    once = [torch.eye(3)[:1].repeat(2, 1), torch.eye(3)[1:2], torch.eye(3)[2:3]]
    assert doubly_stochastic(once).item() == pytest.approx(2 / 6)  # the second caption looked at one place of three
    assert doubly_stochastic([look[:1] for look in once]).item() == 0


def test_targets_are_the_next_words():
    model = SYSTEMS["show-and-tell"](["<end>", "a", "b"], embedding=4, hidden=4)
    batch, order = batch_of([(0, [1]), (1, [1, 2, model.rare])], model)
    assert order == [1, 0]
    assert batch.inputs.tolist() == [[3, 1, 2, 4], [3, 1, 0, 0]]
    assert batch.lengths == [4, 2]
    assert batch.photos.tolist() == [1, 0]
    assert batch.targets.tolist() == [1, 1, 2, 0, -100, 0]
    assert batch.rows.tolist() == [0, 1, 0, 1, 0, 0]


def test_the_vocabulary_has_what_is_seen_often():
    known = vocabulary([[["a", "dog"], ["a", "dog"]], [["a", "cat"]]] * 3)
    assert known == ["<end>", "a", "dog"]
    assert numbers(["a", "cat"], {"a": 1, "dog": 2}, 9) == [1, 9]


def test_the_rate_rises_and_falls():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[-1] < 0.01
    assert steps_of(Recipe(epochs=2, reward_epochs=1, photos=24), 6000) == 750


def test_what_is_measured_is_what_is_best(small):
    model = captions.build(["<end>", "a", "dog"], RECIPE)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([-50.0, -60.0, 50.0]))
    made = best(model, learnt().maps[:, 0])
    assert made == [[2] * STEPS] * 4
    assert set(figures_of(model, learnt())) == {"bleu4", "cider"}


@pytest.fixture
def folder(tmp_path):
    """Two photos in Flickr8k's layout."""
    (tmp_path / "images").mkdir()
    lines = []
    for i, name in enumerate(("one.jpg", "two.jpg")):
        picture = np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / name), picture)
        lines += [f"{name}#{j}\t{sentence} ." for j, sentence in enumerate(SENTENCES)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("two.jpg\n")
    return tmp_path


def test_a_split_is_read_and_its_maps_are_kept(folder):
    heard = []
    found = split(folder, "train", folder, heard.append)
    assert [photo.name for photo in found.photos] == ["two.jpg"]
    assert found.captions == [[sentence.split() for sentence in SENTENCES]]
    assert found.maps.shape == (1, 2, 320, 7, 7)
    assert not np.array_equal(found.maps[0, 0], found.maps[0, 1])
    before = found.maps.copy()
    photo = folder / "images" / "two.jpg"
    photo.write_bytes(bytes(photo.stat().st_size))  # it is not read again: the maps are there
    again = split(folder, "train", folder, heard.append)
    assert np.array_equal(again.maps, before)


def test_a_photo_that_cannot_be_read_is_named(folder):
    (folder / "images" / "two.jpg").write_bytes(b"no picture")
    with pytest.raises(CheckpointError, match=r"two\.jpg: no picture"):
        split(folder, "train", folder, print)
    (folder / "images" / "two.jpg").unlink()
    with pytest.raises(CheckpointError, match=r"two\.jpg: No such file"):
        split(folder, "train", folder, print)


def test_maps_are_never_those_of_other_photos(folder):
    def first():
        return split(folder, "train", folder, lambda _: None).maps[0].copy()

    two = first()
    (folder / "Flickr_8k.trainImages.txt").write_text("one.jpg\n")
    assert not np.array_equal(first(), two)
    (folder / "Flickr_8k.trainImages.txt").write_text("two.jpg\n")
    assert np.array_equal(first(), two)


def test_the_recipe_in_the_checkpoint_is_json(small, tmp_path):
    list(train(learnt(), learnt(2), tmp_path, RECIPE, 1, lambda _: None))
    saved = torch.load(tmp_path / "checkpoint.pt")
    assert json.loads(saved["recipe"])["system"] == "show-attend-tell"
    assert SYSTEMS["show-attend-tell"].of(saved["model"]).vocabulary[0] == "<end>"
