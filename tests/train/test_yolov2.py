from itertools import pairwise

import numpy as np
import pytest
import torch

from watchline.train import yolov2
from watchline.train.datasets import Sample
from watchline.train.mixture import Mixture
from watchline.train.yolov2 import Recipe, batch_of, freeze, learn_priors, schedule

RECIPE = Recipe(steps=4, batch=2, sizes=(64, 96), priors=3, save_every=2, warmup=2)


@pytest.fixture
def data():
    """Grey pictures with one bright square each."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(12):
        image = np.full((80, 100, 3), 60, np.uint8)
        x, y, s = rng.integers(5, 40), rng.integers(5, 30), rng.integers(15, 40)
        image[y : y + s, x : x + s] = 220
        box = np.array([[x, y, x + s, y + s]], np.float32)
        samples.append(Sample(image, box, np.array([6], np.int64), np.array([False])))
    return Mixture(samples[:4], samples[4:8], samples[8:])


def test_a_batch_depends_on_seed_and_step_alone(data):
    images, targets = batch_of(data, RECIPE, 3)
    again, _ = batch_of(data, RECIPE, 3)
    other, _ = batch_of(data, RECIPE, 4)
    assert torch.equal(images, again)
    assert images.shape != other.shape or not torch.equal(images, other)
    assert images.shape[0] == 2
    assert images.shape[2] == images.shape[3]
    assert images.shape[3] in RECIPE.sizes
    assert (targets.boxes[:, 2:] >= targets.boxes[:, :2]).all()
    assert (targets.boxes >= 0).all()
    assert (targets.boxes <= images.shape[3]).all()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data, tmp_path):
    list(yolov2.train(data, tmp_path / "whole", RECIPE, threads=1))
    first = yolov2.train(data, tmp_path / "parts", RECIPE, threads=1)
    steps = [next(first)["step"] for _ in range(3)]  # stopped after 3; the checkpoint is of step 2
    first.close()
    steps += [f["step"] for f in yolov2.train(data, tmp_path / "parts", RECIPE, threads=1)]
    assert steps == [1, 2, 3, 3, 4]
    whole, parts = (torch.load(tmp_path / d / "checkpoint.pt", weights_only=True) for d in ("whole", "parts"))
    for name, value in whole["model"].items():
        assert torch.allclose(value, parts["model"][name], atol=1e-5), name


def test_frozen_blocks_stay_imagenet_s(data, tmp_path):
    list(yolov2.train(data, tmp_path, RECIPE, threads=1))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    imagenet = yolov2.EfficientNetLite0.pretrained().state_dict()
    changed = {n for n, v in imagenet.items() if not torch.equal(v, state[f"backbone.{n}"])}
    assert not any(n.startswith(("stem.", "blocks.0.", "blocks.1.", "blocks.2.")) for n in changed)
    assert "blocks.5.expand.0.weight" in changed


def test_priors_come_from_the_boxes(data):
    priors = learn_priors(data, RECIPE)
    assert priors.shape == (3, 2)
    assert (priors > 6 / 16).all()  # nothing smaller than the boxes that count
    assert (priors < 96 / 16).all()


def test_the_rate_rises_then_falls():
    rates = [schedule(step, Recipe(steps=100, warmup=10)) for step in range(101)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.01)


def test_freezing_keeps_the_rest_trainable():
    model = yolov2.YOLOv2(torch.ones(3, 2))
    freeze(model, 3)
    assert not any(p.requires_grad for p in model.backbone.stem.parameters())
    assert not model.backbone.blocks[2].training
    assert all(p.requires_grad for p in model.backbone.blocks[3].parameters())
    assert model.head.training
