"""Faster R-CNN's recipe for data of any size, and its pictures, decoded when they are asked for."""

import numpy as np
import pytest
from pictures import picture

from watchline.train.faster_rcnn import LITE, PAPER
from watchline.train.own_faster_rcnn import Samples, recipe_for


def test_small_data_is_seen_a_hundred_times_and_large_data_as_often_as_the_recipe_says():
    assert recipe_for(LITE, (80, 20)).steps == 1000
    assert recipe_for(LITE, (8000, 20)).steps == LITE.steps
    assert recipe_for(LITE, (8000, 20), epochs=12).steps == 12_000


def test_a_short_run_does_not_end_before_its_rate_has_risen():
    assert recipe_for(LITE, (160, 20), epochs=3).warmup == 12
    assert recipe_for(LITE, (160, 20)).warmup == LITE.warmup


def test_the_rate_follows_the_batch():
    recipe = recipe_for(PAPER, (80, 20), batch=4, imgsz=320, seed=7)
    assert (recipe.rate, recipe.size, recipe.seed) == (4 * PAPER.rate, 320, 7)
    assert recipe.save_every == 20


def test_samples_are_decoded_with_their_boxes():
    samples = Samples([picture(i, boxes=[(5 * i, 10, 5 * i + 30, 50)]) for i in range(3)])
    assert [one.boxes.tolist() for one in samples] == [[[5 * i, 10, 5 * i + 30, 50]] for i in range(3)]
    assert samples[2].image.shape == (60, 80, 3)
    assert len(samples[1:]) == 2
    assert np.array_equal(samples[1:][0].image, samples[1].image)
    with pytest.raises(IndexError):
        samples[3]
