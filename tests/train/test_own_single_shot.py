"""A recipe for data of any size."""

import pytest

from watchline.train.own_single_shot import longest, recipe_for
from watchline.train.single_shot import middle
from watchline.train.yolov2 import RECIPES

BASE = RECIPES["cpu"]


@pytest.mark.parametrize("imgsz", [64, 128, 320, 416, 640])
def test_the_sizes_of_views_follow_the_input(imgsz):
    recipe = recipe_for(BASE, (200, 40), "cpu", imgsz=imgsz)
    assert middle(recipe.sizes) == imgsz
    assert imgsz in recipe.calm_sizes
    assert all(size % 32 == 0 and 0.7 * imgsz <= size <= 1.25 * imgsz for size in recipe.sizes + recipe.calm_sizes)
    assert longest(recipe) >= max(recipe.sizes)


def test_without_a_size_it_is_the_recipe_s_own():
    recipe = recipe_for(BASE, (200, 40), "cpu")
    assert (recipe.sizes, recipe.calm_sizes) == (BASE.sizes, BASE.calm_sizes)


def test_an_epoch_shows_as_many_views_as_there_are_pictures_and_has_ten_steps_at_least():
    assert recipe_for(BASE, (200, 40), "cpu", epochs=3).steps == 3 * 13
    assert recipe_for(BASE, (200, 40), "cpu", epochs=3, batch=8).steps == 3 * 25
    small = recipe_for(BASE, (60, 10), "cpu", epochs=2)
    assert (small.batch, small.steps) == (6, 20)
    assert recipe_for(BASE, (9, 1), "cpu").batch == 4
    few = recipe_for(BASE, (200, 40), "cpu", steps=30)
    assert (few.steps, few.warmup) == (30, 3)


def test_the_rates_follow_the_root_of_the_batch():
    half = recipe_for(BASE, (2000, 40), "cpu", batch=4)
    assert (half.lr_backbone, half.lr_head) == (BASE.lr_backbone / 2, BASE.lr_head / 2)
    gpu = recipe_for(RECIPES["cuda"], (2000, 40), "cuda")
    assert gpu.batch == 64
    assert gpu.lr_head == pytest.approx(RECIPES["cuda"].lr_head / 2**0.5)
