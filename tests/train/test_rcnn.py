"""The recipe of R-CNN: which regions teach what, SVMs with hard negatives, and the regression in closed form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import own_sets
import pytest
import torch

from watchline.models.boxes import encode
from watchline.models.errors import CheckpointError
from watchline.models.rcnn import FEATURES
from watchline.ops.boxes import iou
from watchline.train import rcnn
from watchline.train.own_data import dataset
from watchline.train.own_data.dataset import PictureFile
from watchline.train.rcnn import NEVER, NONE, Recipe, Regions, Scaled, moments, regions_of, ridge, svm, svms

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def test_regions_and_what_they_teach():
    boxes = np.array([[10, 10, 60, 60], [100, 20, 150, 90], [200, 200, 240, 240]], np.float32)
    file = PictureFile(Path("a.jpg"), (300, 300), boxes, np.array([2, 0, 1]), np.array([False, False, True]))
    rng = np.random.default_rng(0)
    near = boxes[[0, 1, 2]] + rng.integers(-4, 5, (3, 4)).astype(np.float32)
    far = np.sort(rng.integers(0, 300, (60, 2, 2)), axis=1).reshape(-1, 4).astype(np.float32)
    proposed = np.concatenate([near, far[(far[:, 2:] > far[:, :2]).all(1)]])
    found = regions_of(file, proposed, 3, Recipe(regions=24), rng)
    assert found.boxes.shape == (24, 4)
    assert found.truth[:2].tolist() == [2, 0]
    assert (found.truth[2:] == NONE).all()
    assert found.boxes[:2].tolist() == boxes[:2].tolist()
    overlaps = iou(found.boxes, boxes)
    assert np.abs(found.overlap - overlaps[:, [1, 2, 0]]).max() < 1e-3  # ignored boxes too: they are no negatives
    for row in range(2, 24):
        close = [g for g in (0, 1) if overlaps[row, g] >= 0.6]
        assert found.match[row] == (file.classes[close[0]] if close else NONE)
        if close:
            goal = encode(torch.from_numpy(boxes[close[0]]), torch.from_numpy(found.boxes[row]))
            assert found.goals[row] == pytest.approx(goal.numpy(), abs=1e-5)
    assert (found.match[:2] == NONE).all()  # a true box has nothing to correct
    none = regions_of(
        replace(file, boxes=boxes[:0], classes=file.classes[:0], ignore=file.ignore[:0]),
        proposed,
        3,
        Recipe(regions=24),
        rng,
    )
    assert (none.overlap == 0).all()
    assert (none.match == NONE).all()


def test_ridge_is_the_least_of_what_it_says():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(40, 4)), np.ones(40)]).astype(np.float32)
    y = rng.normal(size=(40, 2)).astype(np.float32)
    w = ridge(x, y, 3.0).astype(np.float64)
    gradient = 2 * x.T @ (x @ w - y) + 2 * 3.0 * w * np.array([1, 1, 1, 1, 0])[:, None]
    assert np.abs(gradient).max() < 1e-3


def test_ridge_does_not_shrink_the_bias():
    """What is the same for all rows is learnt from a few, however large lambda is."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(10, 4)), np.ones(10)]).astype(np.float32)
    y = np.full((10, 1), 0.2, np.float32)
    assert x @ ridge(x, y, Recipe().ridge) == pytest.approx(y, abs=1e-3)


def test_an_svm_is_the_least_of_its_loss_and_positives_weigh_more():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(60, 3)), np.ones(60)]).astype(np.float32)
    x[:20, 0] += 1.5
    recipe = Recipe(margin=0.1)

    def loss(w):
        """|w|^2 / 2 + C sum of weight * max(0, 1 - y w x)^2"""
        sign, weight = np.repeat([1, -1], [20, 40]), np.repeat([recipe.positive, 1], [20, 40])
        return w @ w / 2 + recipe.margin * (weight * np.maximum(0, 1 - sign * (x @ w)) ** 2).sum()

    w = svm(x[:20], x[20:], recipe).astype(np.float64)
    for step in np.concatenate([np.eye(4), -np.eye(4)]) * 0.02:
        assert loss(w) < loss(w + step)


def test_hard_negatives_are_found_and_change_the_svm():
    """Of 3000 negatives, the 60 that look like positives are hardly among the first 100."""
    rng = np.random.default_rng(0)
    features = np.zeros((3050, FEATURES), np.float16)
    features[:, :2] = rng.normal(0, 1, (3050, 2))
    features[:50, :2] += 3
    features[50:110, 0] += 3  # as positives in one number, not in the other
    truth = np.where(np.arange(3050) < 50, 0, NONE)
    overlap = (truth == 0).astype(np.float16)[:, None]
    regions = Regions(np.zeros((3050, 4), np.float32), truth, overlap, truth, np.zeros((3050, 4), np.float32))
    scaled, told = Scaled(features, *moments(features)), []
    recipe = Recipe(first=100, hard=500, margin=1.0)
    once = scaled.products(svms(scaled, regions, replace(recipe, rounds=1), told.append))[:, 0]
    often = scaled.products(svms(scaled, regions, recipe, told.append))[:, 0]
    assert (often[50:110] > 0).sum() < (once[50:110] > 0).sum() / 2
    assert (often[:50] > 0).mean() > 0.8
    assert told[0].startswith("round 1 of the SVMs: ")
    absent = replace(regions, truth=np.full(3050, NONE))
    assert (scaled.products(svms(scaled, absent, recipe, told.append)) == NEVER).all()  # of a class without true boxes


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"network": "fast-rcnn", "names": '["cup", "person"]'}, "is of another network, fast-rcnn"),
        ({"model": {}}, "is of another network: it would be replaced"),
        ({"network": "rcnn", "names": '["cup", "dog"]'}, "other classes, which differ in dog, person"),
    ],
)
def test_it_replaces_no_checkpoint_of_something_else(tmp_path, there, told):
    data = dataset.read([own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(3)})])
    torch.save(there, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=told):
        rcnn.train(data, tmp_path, tmp_path, Recipe(), 1, print)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == there


def test_it_trains_what_the_exporter_takes_and_keeps_its_features(tmp_path):
    data = dataset.read([own_sets.yolo(tmp_path / "set", {"train": own_sets.pictures(4)})])
    (tmp_path / "out").mkdir()
    recipe, told = Recipe(regions=16, first=20), []
    rcnn.train(data, tmp_path / "out", tmp_path, recipe, 1, told.append)
    saved = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert (saved["network"], saved["names"]) == ("rcnn", '["cup", "person"]')
    assert saved["model"]["svm.weight"].shape == (2, FEATURES)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("maps-*.npy")}
    assert len(before) == 2  # proposals and features
    features = np.load(max(before, key=lambda file: file.stat().st_size), mmap_mode="r")
    margins = (
        features[:, 0].astype(np.float32) @ saved["model"]["svm.weight"].numpy().T + saved["model"]["svm.bias"].numpy()
    )
    right = [int(one.classes[0]) for one in data.train]
    assert margins.argmax(1).tolist() == right  # the first region is the true box
    rcnn.train(data, tmp_path / "out", tmp_path, recipe, 1, told.append)
    assert set(tmp_path.glob("maps-*.npy")) == set(before)
    moved = replace(data.train[0], boxes=data.train[0].boxes + 2)
    rcnn.train(replace(data, train=[moved, *data.train[1:]]), tmp_path / "out", tmp_path, recipe, 1, told.append)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 3  # the features of other true boxes are others
