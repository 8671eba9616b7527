"""The recipe of classification + localization: crops and their boxes, pictures with one object, resuming."""

from dataclasses import replace

import numpy as np
import own_sets
import pytest
import torch

from watchline.models.errors import CheckpointError, DatasetError
from watchline.models.localizer import SIDE
from watchline.train import localizer
from watchline.train.localizer import KEPT, Crop, Recipe, crops_of, of_one_object, tensor_of
from watchline.train.own_data import dataset

RECIPE = Recipe(looks=3, steps=4, batch=4, save_every=2)


@pytest.fixture
def data(tmp_path):
    file = own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(4), "val": own_sets.pictures(6)})
    for number in range(4):
        (file.parent / "images" / "val" / f"{number:02}.jpg").unlink()  # which are in train too
        (file.parent / "labels" / "val" / f"{number:02}.txt").unlink()
    return of_one_object(dataset.read([file]))


def run(data, out, recipe=RECIPE):
    out.mkdir(exist_ok=True)
    return localizer.train(data, out, out.parent, recipe, 1, lambda line: None)


def test_a_crop_shows_the_object_where_its_box_says():
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[20:60, 50:90] = 255
    box = np.array([50, 20, 90, 60], np.float32)
    for crop in (Crop(0, 0, 200, 100, False), Crop(30, 10, 130, 90, False), Crop(30, 10, 130, 90, True)):
        x, y, w, h = crop.box(box)
        bright = crop.of(pixels)[..., 0] > 128
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        seen = np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]) / SIDE
        assert [x, y, w, h] == pytest.approx(seen, abs=2 / SIDE)
    assert Crop(30, 10, 130, 90, True).box(box).tolist() == pytest.approx([0.4, 0.125, 0.4, 0.5])


def test_random_crops_keep_the_object(data):
    for number, file in enumerate(data.train):
        crops = crops_of(file, number, replace(RECIPE, looks=12))
        assert [(c.x1, c.y1, c.x2, c.y2, c.mirrored) for c in crops[:2]] == [(0, 0, 80, 60, m) for m in (False, True)]
        assert crops == crops_of(file, number, replace(RECIPE, looks=12))
        assert len(set(crops)) > 6
        for crop in crops:
            *_, w, h = crop.box(file.boxes[0])
            area = w * (crop.x2 - crop.x1) * h * (crop.y2 - crop.y1)
            assert area >= (KEPT - 1e-3) * np.prod(file.boxes[0, 2:] - file.boxes[0, :2])


def test_only_pictures_with_one_object_count(data):
    first, second, *_ = data.train
    two = replace(first, boxes=np.repeat(first.boxes, 2, 0), classes=np.array([0, 1]), ignore=np.zeros(2, bool))
    unsure = replace(second, ignore=np.array([True]))
    person = next(one for one in data.train if one.classes[0] == 1)
    kept = of_one_object(replace(data, train=(two, unsure, person)))
    assert kept.names == ("person",)
    assert [one.classes.tolist() for one in kept.train] == [[0]]
    assert all(one.classes.tolist() == [0] for one in kept.val)  # cups are left out
    with pytest.raises(DatasetError, match="none of 1 pictures to train on has exactly one object"):
        of_one_object(replace(data, train=(two,)))


def test_the_network_sees_rgb_around_zero():
    blue = np.zeros((SIDE, SIDE, 3), np.uint8)
    blue[..., 0] = 255
    assert tensor_of([blue])[0, :, 0, 0].tolist() == [-127 / 128, -127 / 128, 1.0]


def test_the_box_head_learns_after_the_class_head_which_then_stays(data, tmp_path):
    figures = list(run(data, tmp_path / "half", replace(RECIPE, steps=2)))
    assert [set(f) - {"step", "seconds", "loss"} for f in figures] == [{"class"}, {"box"}]
    steps, states = run(data, tmp_path / "whole"), []
    for figures in steps:
        if figures["step"] in (2, 4):
            states.append(torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["model"])
    half, end = states
    changed = {name for name in half if not torch.equal(half[name], end[name])}
    assert changed
    assert all(name.startswith("heads.locate.") for name in changed)
    assert "heads.locate.0.running_mean" in changed


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data, tmp_path):
    list(run(data, tmp_path / "whole"))
    first = run(data, tmp_path / "parts")
    steps = [next(first)["step"] for _ in range(3)]
    first.close()
    steps += [f["step"] for f in run(data, tmp_path / "parts")]
    assert steps == [1, 2, 3, 4]
    whole, parts = (torch.load(tmp_path / d / "checkpoint.pt", weights_only=True) for d in ("whole", "parts"))
    for name, value in whole["model"].items():
        assert torch.allclose(value, parts["model"][name], atol=1e-6), name
    with pytest.raises(CheckpointError, match="boxes specific"):
        next(run(data, tmp_path / "parts", replace(RECIPE, boxes="agnostic")))


def test_maps_are_computed_once(data, tmp_path):
    list(run(data, tmp_path / "one"))
    (file,) = tmp_path.glob("maps-*.npy")
    before = file.stat().st_mtime_ns
    list(run(data, tmp_path / "other", replace(RECIPE, boxes="agnostic")))
    assert file.stat().st_mtime_ns == before
    list(run(data, tmp_path / "third", replace(RECIPE, looks=2)))
    assert len(list(tmp_path.glob("maps-*.npy"))) == 2
    file.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"maps-\w+\.npy cannot be used"):
        next(run(data, tmp_path / "fourth"))


def test_ilsvrcs_figures_of_a_network_that_is_always_right(data):
    class Sure(torch.nn.Module):
        def forward(self, x):
            """The box of cups is always that of the first picture to measure, whose class is never the best."""
            box = torch.tensor(data.val[0].boxes[0] / np.array([80, 60] * 2))
            cup = torch.stack([box[0], box[1], box[2] - box[0], box[3] - box[1]])
            return torch.tensor([[0.0, 1.0]]), torch.stack([cup, torch.tensor([0.0, 0, 0.1, 0.1])]).float()[None]

    assert data.val[0].classes.tolist() == [0]
    assert localizer.measure(Sure(), data.val[:1]) == {"top-5": 1.0, "top-1": 0.0, "class": 0.0}
    assert localizer.measure(Sure(), data.val[1:]) == {"top-5": 0.0, "top-1": 0.0, "class": 1.0}
