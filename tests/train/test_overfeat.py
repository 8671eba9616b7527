"""The recipe of OverFeat: windows of pictures, what they show, and how often they are drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import own_sets
import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.overfeat import BEFORE, FIELD, STRIDE, WINDOW, OverFeat
from watchline.train import overfeat
from watchline.train.overfeat import BACKGROUND, UNSURE, Recipe, draw, label, look_of, weights_of, windows_of
from watchline.train.own_data import dataset
from watchline.train.own_data.dataset import PictureFile

RECIPE = Recipe(windows=4, steps=2, batch=4)
SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


def file_of(*rows, size=(400, 300), ignore=()):
    """Rows (x1, y1, x2, y2, class)."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    flags = np.isin(np.arange(len(table)), ignore)
    return PictureFile(Path("a.jpg"), size, table[:, :4], table[:, 4].astype(np.int64), flags)


def test_a_window_shows_an_object_that_overlaps_it_by_half():
    file = file_of((0, 0, 192, 192, 3), (400, 0, 592, 192, 7), (0, 400, 192, 592, 1), ignore=(2,))
    places = np.array([[0, 0], [2, 2], [5, 0], [7, 0], [25, 0], [0, 25], [20, 20]])
    labels, match = label(places, file.boxes, file, RECIPE)
    # the same; IoU 0.53; 0.41, too little for an object; 0.26; the second one; an ignored one; far from all
    assert labels.tolist() == [4, 4, UNSURE, BACKGROUND, 8, UNSURE, BACKGROUND]
    assert match[labels > 0].tolist() == [0, 0, 1]
    none, _ = label(places, file.boxes[:0], file_of(), RECIPE)
    assert (none == BACKGROUND).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_box_is_where_the_window_shows_the_object(seed):
    file = file_of((100, 60, 220, 200, 2))
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[60:200, 100:220] = 255
    look = look_of(file, np.random.default_rng(seed), RECIPE)
    canvas = look.canvas(pixels)
    columns, rows = look.grid
    assert canvas.shape == (FIELD + STRIDE * (rows - 1), FIELD + STRIDE * (columns - 1), 3)
    assert (look.labels == 3).any()
    for (column, row), shown, (x, y, w, h) in zip(look.places.tolist(), look.labels, look.boxes, strict=True):
        assert column < columns
        assert row < rows
        if shown == BACKGROUND:
            assert not np.any([x, y, w, h])
            continue
        left, upper = BEFORE + STRIDE * column + WINDOW * x, BEFORE + STRIDE * row + WINDOW * y
        across = slice(round(left) + 2, round(left + WINDOW * w) - 2)
        inside = canvas[round(upper) + 2 : round(upper + WINDOW * h) - 2, across]
        assert inside.size
        assert inside.min() == 255
        assert canvas[:, round(left) - 3].max() < 255
        assert canvas[round(upper + WINDOW * h) + 3].max() < 255


def test_windows_cover_the_picture():
    for size in ((192, 192), (300, 200), (672, 448)):
        for shift in ((0, 0), (15, 3)):
            columns, rows = overfeat.grid_of(size, shift)
            for count, side, by in zip((columns, rows), size, shift, strict=True):
                assert STRIDE * (count - 1) + WINDOW >= side + by > STRIDE * (count - 2) + WINDOW


def test_half_of_the_windows_show_objects_if_there_are_so_many():
    rng = np.random.default_rng(0)
    labels = np.array([BACKGROUND] * 50 + [UNSURE] * 20 + [3] * 10)
    assert sorted(labels[draw(labels, 8, rng)].tolist()) == [0] * 4 + [3] * 4
    assert sorted(labels[draw(labels[:52], 8, rng)].tolist()) == [0] * 8
    assert len(draw(labels[50:53], 8, rng)) == 8  # unsure ones alone fill the place, and weigh nothing
    weights = weights_of(np.array([0, 0, 1, 1, 1, 1, 2, UNSURE]), 0.5)
    assert weights[:2].sum() == pytest.approx(0.5)
    assert weights[2:7].sum() == pytest.approx(0.5)
    assert weights[6] == pytest.approx(2 * weights[2])  # by the root of 4 and of 1
    assert weights[7] == 0


def test_maps_of_windows_are_those_of_their_fields():
    torch.manual_seed(0)
    model = OverFeat(2, EfficientNetLite0(SLIM)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    look = look_of(file_of((100, 60, 220, 200, 1)), np.random.default_rng(1), RECIPE)
    canvas = look.canvas(pixels)
    with torch.no_grad():
        maps = windows_of(model, look, pixels)
        column, row = look.places[0] * STRIDE
        field = canvas[None, row : row + FIELD, column : column + FIELD, ::-1].transpose(0, 3, 1, 2)
        alone = model.features(normalise(torch.from_numpy(field.copy())))
    assert maps.shape == (RECIPE.windows, 112, 7, 7)
    assert torch.allclose(maps[0], alone[0], rtol=1e-4, atol=float(alone.abs().max()) * 1e-5)


def test_it_trains_and_another_recipe_does_not_go_on(tmp_path):
    data = dataset.read([own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(3)})])
    (tmp_path / "out").mkdir()
    figures = list(overfeat.train(data, tmp_path / "out", tmp_path, RECIPE, 1, lambda line: None))
    assert [set(f) - {"step", "seconds", "loss"} for f in figures] == [{"class"}, {"box"}]
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert (saved["network"], saved["step"], saved["names"]) == ("overfeat", 2, '["cup", "person"]')
    with pytest.raises(ValueError, match="windows 4"):
        next(overfeat.train(data, tmp_path / "out", tmp_path, replace(RECIPE, windows=5), 1, lambda line: None))
