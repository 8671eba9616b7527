"""YOLO's and SSD's recipes: the views, and that a run can be stopped and its network used."""

from dataclasses import replace

import pytest
import torch
from pictures import picture

from watchline.export.pytorch.fixed_size import load
from watchline.train import fixed_size
from watchline.train.own_single_shot import recipe_for
from watchline.train.single_shot import batch_of
from watchline.train.views import Store

NETWORKS = [("yolo", 448), ("ssd", 300), ("ssd", 512)]


def short(name, size):
    """As the command makes it of few pictures."""
    return replace(recipe_for(fixed_size.recipe_of(name, size), (4, 1), "cpu", steps=3, batch=2), save_every=2)


@pytest.fixture(scope="module")
def data():
    return [picture(i, boxes=[(5 + i, 5, 30 + i, 40)], group=0) for i in range(4)]


@pytest.mark.parametrize(("name", "size"), NETWORKS)
def test_views_are_single_pictures_of_one_size(data, name, size):
    store = Store.of(data, torch.device("cpu"), 1)
    assert size in fixed_size.SIZES[name]
    for step in range(5):
        found, images, truth = batch_of(store, short(name, size), step, 0.3 * step)
        assert found == size
        assert images.shape == (2, 3, size, size)
        assert truth.image.bincount(minlength=2).max() <= 1  # one box a picture, so one a view


@pytest.mark.parametrize(("name", "size"), NETWORKS[:2])
def test_a_stopped_run_goes_on_and_its_network_can_be_used(data, tmp_path, name, size):
    recipe = short(name, size)
    whole = [f["loss"] for f in fixed_size.train(name, data, tmp_path / "whole", recipe, 1)]
    first = fixed_size.train(name, data, tmp_path / "parts", recipe, 1)
    parts = [next(first)["loss"]]
    first.close()
    parts += [f["loss"] for f in fixed_size.train(name, data, tmp_path / "parts", recipe, 1)]
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    assert len(parts) == len(whole) == 3
    model = load(tmp_path / "parts" / "average.pt")
    assert (model.size, model.classes) == (size, 20)
    with torch.no_grad():
        boxes, scores = model.decoded(model(torch.zeros(1, 3, size, size)))
    assert boxes.shape[2] == 4
    assert scores.shape == (1, boxes.shape[1], 20)
