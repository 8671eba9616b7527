"""The recipe of Fast R-CNN: proposals that go with their picture, and runs that go on."""

from dataclasses import replace

import numpy as np
import own_sets
import pytest
import torch

from watchline.models.errors import CheckpointError
from watchline.models.fast_rcnn import PROPOSALS
from watchline.ops.boxes import iou
from watchline.train import fast_rcnn, proposals
from watchline.train.fast_rcnn import PROPOSED, Proposed, parted, recipe_for
from watchline.train.own_data import dataset
from watchline.train.region_recipe import batch_of

pytest.importorskip("skimage")

PAD = (127, 127, 127)


@pytest.fixture
def data(tmp_path):
    return dataset.read([own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(4)})])


def silent(line):
    pass


def test_proposals_are_searched_once_and_go_on_where_they_stopped(data, tmp_path):
    first = np.array(proposals.cached(data.train, 20, tmp_path, silent))
    assert first.shape == (len(data.train), 20, 4)
    assert (first[..., 2:] > first[..., :2]).all()
    [file] = tmp_path.glob("maps-*.npy")
    kept = np.lib.format.open_memmap(file, "r+")
    kept[0], kept[1] = 0, 7  # not yet searched, searched before
    kept.flush()
    again = proposals.cached(data.train, 20, tmp_path, silent)
    assert (again[0] == first[0]).all()
    assert (again[1] == 7).all()


def test_proposals_move_with_their_picture(data, tmp_path):
    samples = Proposed(data.train, proposals.cached(data.train, PROPOSALS, tmp_path, silent))
    recipe = replace(recipe_for(len(samples)), batch=len(samples), size=96)
    for step in range(4):  # other zooms, mirrored or not
        images, proposed, truths = parted(*batch_of(samples, recipe, step, PAD))
        assert images.shape == (len(samples), 3, 96, 96)
        for boxes, truth in zip(proposed, truths, strict=True):
            assert len(boxes) > 50
            assert truth.classes.tolist() in ([0], [1])
            assert PROPOSED not in truth.classes
            assert iou(truth.boxes.numpy(), boxes.numpy()).max() > 0.6


def test_the_recipe_follows_the_data():
    recipe = recipe_for(100)
    assert (recipe.steps, recipe.batch, recipe.warmup) == (12 * 13, 8, 31)
    assert recipe_for(100, epochs=1, batch=4).steps == 25
    assert recipe_for(100, batch=4).rate == recipe.rate / 2
    assert recipe_for(100, steps=7, seed=3).seed == 3


def test_a_stopped_run_goes_on_as_if_it_had_not_been_and_another_recipe_does_not(data, tmp_path):
    recipe = replace(recipe_for(len(data.train), steps=3, batch=2), size=64)
    for out in ("whole", "parts"):
        (tmp_path / out).mkdir()
    figures = list(fast_rcnn.train(data, tmp_path / "whole", tmp_path, recipe, 1, silent))
    assert {"loss", "roi class", "roi box"} <= figures[0].keys()
    stopped = fast_rcnn.train(data, tmp_path / "parts", tmp_path, recipe, 1, silent)
    next(stopped)
    stopped.close()
    assert [f["step"] for f in fast_rcnn.train(data, tmp_path / "parts", tmp_path, recipe, 1, silent)] == [2, 3]
    whole, parts = (torch.load(tmp_path / out / "checkpoint.pt", weights_only=True) for out in ("whole", "parts"))
    assert (whole["network"], whole["names"]) == ("fast-rcnn", '["cup", "person"]')
    for name, value in whole["model"].items():
        assert torch.allclose(value, parts["model"][name], atol=1e-5), name
    with pytest.raises(CheckpointError, match="regions 64"):
        next(fast_rcnn.train(data, tmp_path / "parts", tmp_path, replace(recipe, regions=32), 1, silent))
