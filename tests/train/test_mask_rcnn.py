"""The recipe of the small Mask R-CNN: that a run goes on as if it had not been stopped."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import CheckpointError, DatasetError
from watchline.train import mask_rcnn
from watchline.train.mask_rcnn import CHECKPOINT, Recipe, batch_of, schedule, train
from watchline.train.people import Masked

TINY = Recipe(steps=3, batch=1, width=64, height=64, warmup=1, save_every=1)


@pytest.fixture(autouse=True)
def random_weights(monkeypatch):
    """The ImageNet weights need not be read."""
    monkeypatch.setattr(EfficientNetLite0, "pretrained", classmethod(lambda cls: cls()))


def photos(count=3):
    rng = np.random.default_rng(0)
    plane = np.zeros((60, 50), np.uint8)
    plane[10:50, 10:30] = 1
    return [Masked(rng.integers(0, 256, (60, 50, 3), np.uint8), plane, str(n)) for n in range(count)]


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    sets = [photos(), photos(2)]
    whole = list(train(sets, tmp_path / "whole", TINY, 1))
    assert [figures["step"] for figures in whole] == [1, 2, 3]
    assert all(np.isfinite(figures["loss"]) for figures in whole)
    for figures in train(sets, tmp_path / "parts", TINY, 1):
        if figures["step"] == 1:
            break
    rest = list(train(sets, tmp_path / "parts", TINY, 1))
    assert [figures["loss"] for figures in rest] == pytest.approx([figures["loss"] for figures in whole[1:]], rel=1e-3)
    first, second = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["model"] for name in ("whole", "parts")
    )
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], rtol=1e-3, atol=1e-5)


def test_frozen_layers_stay_as_they_were(tmp_path):
    torch.manual_seed(TINY.seed)
    before = mask_rcnn.LiteMaskRCNN(1, backbone=EfficientNetLite0()).state_dict()
    list(train([photos()], tmp_path, TINY, 1))
    after = torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]
    same = {name for name, weight in after.items() if torch.equal(weight, before[name])}
    assert {name for name in after if ".stem." in name or ".blocks.0." in name} <= same
    assert {name for name in after if "running_" in name} <= same
    assert {"mask.finer.weight", "pyramid.backbone.blocks.9.expand.0.weight"}.isdisjoint(same)


def test_what_is_kept_is_an_average_of_the_steps(tmp_path):
    list(train([photos()], tmp_path / "a", TINY, 1))
    list(train([photos()], tmp_path / "b", replace(TINY, average=0.0), 1))
    averaged, last = (torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in "ab")
    for name, weight in last["model"].items():
        assert torch.equal(weight, last["live"][name]), name
    torch.testing.assert_close(averaged["live"], last["live"], rtol=1e-3, atol=1e-5)
    apart = (averaged["model"]["mask.finer.weight"] - averaged["live"]["mask.finer.weight"]).abs().max()
    assert 1e-5 < apart < 3 * TINY.rate  # between the steps


def test_another_recipe_or_network_is_refused(tmp_path):
    list(train([photos()], tmp_path, TINY, 1))
    with pytest.raises(CheckpointError, match="recipe"):
        list(train([photos()], tmp_path, Recipe(steps=3, batch=2, width=64, height=64), 1))
    torch.save({"network": "faster-rcnn"}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match="another network, faster-rcnn"):
        list(train([photos()], tmp_path, TINY, 1))
    with pytest.raises(DatasetError, match="no photo with masks"):
        mask_rcnn.read([])


def test_a_batch_depends_on_seed_and_step_alone():
    sets = [photos(), photos(2)]
    images, truths, planes = batch_of(sets, TINY, 5)
    again, _, _ = batch_of(sets, TINY, 5)
    assert torch.equal(images, again)
    assert not torch.equal(images, batch_of(sets, TINY, 6)[0])
    assert images.shape == (1, 3, 64, 64)
    assert [len(truth.boxes) for truth in truths] == [len(plane) for plane in planes]


def test_the_rate_rises_and_falls():
    recipe = Recipe(steps=100, warmup=10)
    rates = [schedule(step, recipe) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.0)
    assert all(a >= b for a, b in pairwise(rates[10:]))
