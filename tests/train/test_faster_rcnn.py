from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from watchline.models.errors import CheckpointError
from watchline.models.faster_rcnn import SCALES
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.vgg import VGG16
from watchline.train import faster_rcnn
from watchline.train.datasets import Sample
from watchline.train.faster_rcnn import LITE, PAPER, Recipe, build, freeze
from watchline.train.region_recipe import batch_of, schedule, view

RECIPE = Recipe(
    steps=4, batch=2, size=64, rate=0.01, warmup=0, average=0.0, before=60, proposals=20, regions=8, save_every=2
)
PAD = (127, 127, 127)


@pytest.fixture
def samples():
    """Grey pictures with one bright square each."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(5):
        image = np.full((80, 100, 3), 60, np.uint8)
        x, y, s = rng.integers(5, 40), rng.integers(5, 30), rng.integers(15, 40)
        image[y : y + s, x : x + s] = 220
        box = np.array([[x, y, x + s, y + s]], np.float32)
        made.append(Sample(image, box, np.array([6], np.int64), np.array([False])))
    return made


def run(samples, out, recipe=RECIPE, name="efficientnet-lite0"):
    torch.manual_seed(0)
    return faster_rcnn.train(samples, out, LiteTrunk(hidden=16), name, recipe, threads=1)


def test_a_batch_depends_on_seed_and_step_alone(samples):
    images, truths = batch_of(samples, RECIPE, 3, PAD)
    again, _ = batch_of(samples, RECIPE, 3, PAD)
    other, _ = batch_of(samples, RECIPE, 4, PAD)
    assert torch.equal(images, again)
    assert not torch.equal(images, other)
    assert images.shape == (2, 3, 64, 64)
    assert images.dtype == torch.uint8
    for image, truth in zip(images, truths, strict=True):
        x1, y1, x2, y2 = truth.boxes[0].round().int().tolist()
        assert image[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].float().mean() > 200  # the box is where the square is
        assert (truth.boxes >= 0).all()
        assert (truth.boxes <= 64).all()


def test_an_epoch_shows_every_picture_once(samples):
    marked = [
        Sample(np.full((64, 64, 3), 20 + i, np.uint8), s.boxes, s.classes, s.ignore) for i, s in enumerate(samples)
    ]
    recipe = replace(RECIPE, batch=1, zoom=1.0)
    shown = [int(batch_of(marked, recipe, step, PAD)[0][0, 0, 5, 5]) - 20 for step in range(10)]
    assert sorted(shown[:5]) == sorted(shown[5:]) == [0, 1, 2, 3, 4]
    assert shown[:5] != shown[5:]


def test_a_view_is_the_letterbox_that_engines_use_zoomed_and_mirrored():
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, :50] = (250, 0, 0)  # the left half blue
    sample = Sample(image, np.array([[0, 0, 50, 50]], np.float32), np.array([3]), np.array([False]))
    mirrored = set()
    for seed in range(12):
        seen = view(sample, RECIPE, np.random.default_rng(seed), (1, 2, 3))
        (x1, y1, x2, y2) = seen.boxes[0]
        width = 2 * (x2 - x1)
        assert 32 <= width <= 64
        assert y2 == pytest.approx(width / 2, abs=0.6)
        assert y1 == 0
        assert seen.image[int(y2) + 1 :].reshape(-1, 3).tolist() == [[3, 2, 1]] * (64 * (63 - int(y2)))  # BGR
        assert seen.image[2, int(x1 + x2) // 2].tolist() == [250, 0, 0]
        mirrored.add(bool(x1 > 0))
    assert mirrored == {True, False}


def test_boxes_that_nearly_vanish_are_ignored_and_those_without_sides_go():
    boxes = np.array([[0, 0, 640, 640], [10, 10, 30, 300], [50, 50, 50, 90]], np.float32)
    sample = Sample(np.zeros((640, 640, 3), np.uint8), boxes, np.arange(3), np.array([False] * 3))
    seen = view(sample, replace(RECIPE, zoom=1.0), np.random.default_rng(0), PAD)
    assert seen.classes.tolist() == [0, 1]
    assert seen.ignore.tolist() == [False, True]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(samples, tmp_path):
    list(run(samples, tmp_path / "whole"))
    first = run(samples, tmp_path / "parts")
    steps = [next(first)["step"] for _ in range(3)]
    first.close()  # which leaves a checkpoint, though it is not due
    steps += [f["step"] for f in run(samples, tmp_path / "parts")]
    assert steps == [1, 2, 3, 4]
    whole, parts = (torch.load(tmp_path / d / "checkpoint.pt", weights_only=True) for d in ("whole", "parts"))
    for name, value in whole["model"].items():
        assert torch.allclose(value, parts["model"][name], atol=1e-6), name


def test_another_recipe_or_trunk_does_not_go_on(samples, tmp_path):
    list(run(samples, tmp_path, replace(RECIPE, steps=2)))
    with pytest.raises(CheckpointError, match="started with another recipe"):
        next(run(samples, tmp_path))
    with pytest.raises(CheckpointError, match="started with another trunk, efficientnet-lite0"):
        next(run(samples, tmp_path, replace(RECIPE, steps=2), name="vgg16"))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short"])
def test_a_broken_checkpoint_is_named(samples, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is broken or not a checkpoint: .* another --out"):
        next(run(samples, tmp_path))
    torch.save([1], tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"holds a list, not a checkpoint"):
        next(run(samples, tmp_path))


def test_early_layers_and_batch_statistics_stay_the_rest_learns(samples, tmp_path):
    torch.manual_seed(RECIPE.seed)
    trunk = LiteTrunk(hidden=16)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    list(faster_rcnn.train(samples, tmp_path, trunk, "efficientnet-lite0", RECIPE, threads=1))
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"]
    changed = {name for name, value in before.items() if not torch.equal(value, after[f"trunk.{name}"])}
    assert not any("running" in name or "num_batches" in name for name in changed)
    assert not any(name.startswith(("backbone.stem", *(f"backbone.blocks.{i}." for i in range(3)))) for name in changed)
    assert {"backbone.blocks.5.expand.0.weight", "fine.weight", "coarse.weight", "classifier.0.weight"} <= changed


def test_vgg_learns_from_conv3_on():
    model = build(VGG16(hidden=8), PAPER, 20)
    freeze(model)
    held = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert held == [f"trunk.features.{i}.{part}" for i in (0, 2, 5, 7) for part in ("weight", "bias")]
    assert model.settings.scales == SCALES
    assert (model.settings.before, model.settings.proposals, model.settings.regions) == (3840, 2000, 128)


def test_anchors_are_in_proportion_to_the_input():
    assert build(LiteTrunk(), LITE, 20).settings.scales == pytest.approx([v * 320 / 608 for v in SCALES])


def test_the_rate_rises_stays_and_falls_to_a_tenth():
    rates = [schedule(step, Recipe(steps=100, warmup=10)) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10:75] == [1.0] * 65
    assert rates[75:] == [0.1] * 25
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert schedule(0, PAPER) == 1.0  # the paper knows no rise
