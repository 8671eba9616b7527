from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from pictures import picture

from watchline.models.yolov2 import SHAPES, YOLOv2
from watchline.train import single_shot, yolov2
from watchline.train.averaged import Run, blend, optimizer_of, schedule
from watchline.train.initial import network
from watchline.train.single_shot import batch_of
from watchline.train.views import Store
from watchline.train.yolov2 import Recipe, learn_priors

RECIPE = Recipe(steps=4, batch=2, sizes=(64, 96), calm_sizes=(64,), priors=3, save_every=2, warmup=2)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    corners = rng.uniform(5, 30, (12, 2))
    return [picture(i, boxes=[(*c, *(c + rng.uniform(10, 25, 2)))], group=i % 3) for i, c in enumerate(corners)]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A slim network, whose steps are fast."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("start") / "start.pt"
    model = YOLOv2(torch.rand(3, 2) + 1, 20, SHAPES["slim"].backbone(), SHAPES["slim"].hidden)
    torch.save({"model": model.state_dict()}, file)
    return file


def test_a_batch_depends_on_seed_and_step_alone(data):
    store = Store.of(data, torch.device("cpu"), 1)
    size, images, targets = batch_of(store, RECIPE, 3, 0.0)
    _, again, _ = batch_of(store, RECIPE, 3, 0.0)
    _, other, _ = batch_of(store, RECIPE, 4, 0.0)
    assert torch.equal(images, again)
    assert images.shape != other.shape or not torch.equal(images, other)
    assert images.shape == (2, 3, size, size)
    assert size in RECIPE.sizes
    assert (targets.boxes[:, 2:] >= targets.boxes[:, :2]).all()
    assert (targets.boxes >= 0).all()
    assert (targets.boxes <= size).all()


def test_the_last_part_is_calm(data):
    store = Store.of(data, torch.device("cpu"), 1)
    recipe = replace(RECIPE, calm_views=replace(RECIPE.calm_views, shares=(1, 0, 0)))
    assert {batch_of(store, recipe, step, 0.9)[0] for step in range(20)} == {64}
    assert {batch_of(store, recipe, step, 0.5)[0] for step in range(20)} == {64, 96}


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data, start, tmp_path):
    list(yolov2.train(data, tmp_path / "whole", RECIPE, 1, start=start))
    first = yolov2.train(data, tmp_path / "parts", RECIPE, 1, start=start)
    steps = [next(first)["step"] for _ in range(3)]
    first.close()  # which leaves a checkpoint, though it is not due
    steps += [f["step"] for f in yolov2.train(data, tmp_path / "parts", RECIPE, 1)]  # begun with a slim one
    assert steps == [1, 2, 3, 4]
    whole, parts = (torch.load(tmp_path / d / "checkpoint.pt", weights_only=True) for d in ("whole", "parts"))
    for name, value in whole["model"].items():
        assert torch.allclose(value, parts["model"][name], atol=1e-5), name
    alone = torch.load(tmp_path / "whole" / "average.pt", weights_only=True)["model"]
    assert all(torch.equal(value, alone[name]) for name, value in whole["model"].items())


def test_a_run_of_minutes_ends_when_they_are_over(data, start, tmp_path):
    recipe = replace(RECIPE, minutes=3 / 60, save_every=1000)
    figures = list(yolov2.train(data, tmp_path, recipe, 1, start=start))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == len(figures) > 0
    assert saved["seconds"] >= 3
    assert list(yolov2.train(data, tmp_path, recipe, 1, start=start)) == []  # nothing is left to do


def test_priors_come_from_the_boxes(data):
    priors = learn_priors(Store.of(data, torch.device("cpu"), 1), RECIPE)
    assert priors.shape == (3, 2)
    assert (priors > 6 / 16).all()  # nothing smaller than the boxes that count
    assert (priors < 96 / 16).all()


def test_the_rate_rises_then_falls():
    recipe = Recipe(warmup=10)
    rates = [schedule(step, step / 100, recipe) for step in range(101)]
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.01)


def test_the_average_follows_and_counters_are_copied():
    average = {"w": torch.tensor([0.0, 1.0]), "count": torch.tensor(3)}
    blend(average, {"w": torch.tensor([1.0, 1.0]), "count": torch.tensor(9)}, 0.9)
    assert average["w"].tolist() == pytest.approx([0.1, 1.0])
    assert int(average["count"]) == 9


def test_a_gradient_that_is_no_number_is_dropped(data, start):
    store = Store.of(data, torch.device("cpu"), 1)
    model = network(start, torch.rand(3, 2) + 1).train()
    run = Run(model, optimizer_of(model, single_shot.BACKBONE, RECIPE), {})
    with torch.no_grad():
        model.region.bias[0] = float("nan")
    before = model.region.weight.clone()
    single_shot.step(run, store, RECIPE, 0.0)
    assert torch.equal(before, model.region.weight)


def test_the_first_layers_keep_what_they_start_from(data, start, tmp_path):
    before = torch.load(start, weights_only=True)["model"]
    list(yolov2.train(data, tmp_path, replace(RECIPE, frozen=2), 1, start=start))
    live = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["live"]
    kept = {name for name, value in before.items() if torch.equal(value, live[name]) and "num_batches" not in name}
    front = ("backbone.stem.", "backbone.blocks.0.", "backbone.blocks.1.")
    assert kept == {name for name in before if name.startswith(front) and "num_batches" not in name}
