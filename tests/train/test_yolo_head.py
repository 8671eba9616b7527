"""The first part of YOLO's training: maps of views, computed once, from which the head alone learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import picture

from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.errors import CheckpointError
from watchline.models.yolo import SIZE, YOLO
from watchline.train import checkpoint, fixed_size, looks, yolo_head
from watchline.train.fixed_size import YOLO_VIEWS
from watchline.train.views import Store, draw
from watchline.train.yolo_head import Recipe, gathered, maps_of

NAMES = ("cat", "dog")
AT_ONCE = 2
SHORT = Recipe(views=2 * AT_ONCE, steps=4, batch=2, save_every=2)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    monkeypatch.setattr(yolo_head, "AT_ONCE", AT_ONCE)


@pytest.fixture(scope="module")
def data():
    return [picture(i, boxes=[(5 + i, 5, 30 + i, 40)], group=0) for i in range(4)]


def run(data, out, recipe=SHORT, names=NAMES, tell=lambda line: None):
    return yolo_head.train(data, out, recipe, YOLO_VIEWS, 1, "cpu", names, tell)


def test_views_are_as_many_as_the_whole_run_has_but_fit_on_a_disk():
    def of(steps, batch):
        return yolo_head.recipe_for(replace(fixed_size.recipe_of("yolo", SIZE), steps=steps, batch=batch))

    assert (of(10, 16).views, of(10, 16).steps) == (160, 50)
    assert of(3, 5).views == 16  # whole groups that are computed together
    assert of(100_000, 16).views == 32 * 1024
    assert of(100_000, 16).gibibytes == pytest.approx(3.83, abs=0.01)


def test_a_batch_has_the_maps_and_the_boxes_of_its_views(data, tmp_path):
    """Each map is the backbone's of its view, and `gathered` names the boxes of that view, in the batch's order."""
    store = Store.of(data, torch.device("cpu"), 1)
    model = YOLO(20, EfficientNetLite0.pretrained()).eval()
    maps = maps_of(model, store, tmp_path / "maps.npy", SHORT, YOLO_VIEWS, lambda line: None)
    batches = [
        draw(store, AT_ONCE, SIZE, YOLO_VIEWS, yolo_head._generator(store, SHORT, n))
        for n in range(SHORT.views // AT_ONCE)
    ]
    rows = [1, 2, 0]
    with torch.no_grad():
        wanted = torch.stack([model.backbone(normalise(batches[r // AT_ONCE][0]))[2][r % AT_ONCE] for r in rows])
    found = torch.from_numpy(np.asarray(maps[rows], np.float32))
    apart = (found[:, None] - wanted).flatten(2).norm(dim=2) / wanted.flatten(1).norm(dim=1)
    assert apart.argmin(1).tolist() == [0, 1, 2]
    assert float(apart.diagonal().max()) < 0.25  # the backbone computes in bfloat16
    truth = gathered([truth for _, truth in batches], rows)
    for place, row in enumerate(rows):
        its = batches[row // AT_ONCE][1]
        assert torch.equal(truth.boxes[truth.image == place], its.boxes[its.image == row % AT_ONCE])
    assert len(truth.classes) == len(truth.ignore) == len(truth.sure) == len(truth.image) > 0


def test_a_stopped_run_goes_on_its_maps_stay_until_its_end_and_the_backbone_stays(data, tmp_path):
    whole = [f["loss"] for f in run(data, tmp_path / "whole")]
    first = run(data, tmp_path / "parts")
    parts = [next(first)["loss"] for _ in range(2)]
    first.close()
    [maps] = (tmp_path / "parts").glob("maps-*.npy")
    before = maps.read_bytes()
    going_on = run(data, tmp_path / "parts")
    parts.append(next(going_on)["loss"])
    assert maps.read_bytes() == before
    parts += [f["loss"] for f in going_on]
    assert parts == pytest.approx(whole, rel=1e-3)
    assert len(parts) == 4
    assert not maps.exists()
    learned = checkpoint.read(tmp_path / "parts" / "checkpoint.pt")["model"]
    for name, value in EfficientNetLite0.pretrained().state_dict().items():
        assert torch.equal(learned[f"backbone.{name}"], value)


def test_the_head_learns_from_the_maps(data, tmp_path):
    losses = [f["loss"] for f in run(data, tmp_path, replace(SHORT, steps=30, warmup=1))]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_maps_of_other_pictures_or_another_seed_are_not_taken(data, tmp_path):
    for pictures, recipe in ((data, SHORT), (data[:3], SHORT), (data, replace(SHORT, seed=1))):
        next(run(pictures, tmp_path, recipe))
        (tmp_path / "checkpoint.pt").unlink(missing_ok=True)
    assert len(list(tmp_path.glob("maps-*.npy"))) == 3


def test_a_checkpoint_of_other_classes_is_refused(data, tmp_path):
    list(run(data, tmp_path))
    with pytest.raises(CheckpointError, match="other classes, which differ in dog"):
        next(run(data, tmp_path, names=("cat",)))


def test_a_file_that_is_not_the_maps_is_refused(tmp_path):
    file = tmp_path / "maps.npy"
    np.save(file, np.zeros((3, 2), np.float16))
    with pytest.raises(CheckpointError, match=r"has the shape \(3, 2\), not \(4, 2\)\): delete it, or take another"):
        looks.opened(file, (4, 2))


def test_the_whole_network_begins_with_the_head(data, tmp_path):
    list(run(data, tmp_path / "head"))
    recipe = replace(fixed_size.recipe_of("yolo", SIZE), steps=1, batch=2, lr_backbone=0.0, lr_head=0.0)
    list(fixed_size.train("yolo", data, tmp_path, recipe, 1, names=NAMES, start=tmp_path / "head" / "checkpoint.pt"))
    head = checkpoint.read(tmp_path / "head" / "checkpoint.pt")["model"]
    whole = checkpoint.read(tmp_path / "average.pt")["model"]
    assert torch.equal(whole["connected.3.weight"], head["connected.3.weight"])
