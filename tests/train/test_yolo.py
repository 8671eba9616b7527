from dataclasses import replace

import pytest
import torch
from pictures import picture

from watchline.models.yolo import SIZE
from watchline.train import yolo
from watchline.train.single_shot import batch_of
from watchline.train.views import Store

RECIPE = replace(yolo.RECIPE, steps=3, batch=2, warmup=1, save_every=2)


@pytest.fixture(scope="module")
def data():
    return [picture(i, boxes=[(5 + i, 5, 30 + i, 40)], group=0) for i in range(4)]


def test_views_are_single_pictures_of_the_paper_s_size(data):
    store = Store.of(data, torch.device("cpu"), 1)
    for step in range(5):
        size, images, truth = batch_of(store, RECIPE, step, 0.3 * step)
        assert size == SIZE
        assert images.shape == (2, 3, SIZE, SIZE)
        assert truth.image.bincount(minlength=2).max() <= 1  # one box a picture, so one a view


def test_a_stopped_run_goes_on_and_its_network_can_be_used(data, tmp_path):
    whole = [f["loss"] for f in yolo.train(data, tmp_path / "whole", RECIPE, 1)]
    first = yolo.train(data, tmp_path / "parts", RECIPE, 1)
    parts = [next(first)["loss"]]
    first.close()
    parts += [f["loss"] for f in yolo.train(data, tmp_path / "parts", RECIPE, 1)]
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    assert len(parts) == len(whole) == 3
    detect = yolo.load(tmp_path / "parts" / "average.pt", torch.device("cpu"))
    with torch.no_grad():
        boxes, scores = detect(torch.full((1, 3, SIZE, SIZE), 114.0))
    assert boxes.shape == (1, 98, 4)
    assert scores.shape == (1, 98, 20)
