"""Soft labels: the mean of several looks, kept in a file, and what learning from them costs."""

import numpy as np
import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import CheckpointError
from watchline.models.fcn_lite import KEPT, FCNLite
from watchline.train import soft_labels
from watchline.train.camvid import Scene

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return FCNLite(5, KEPT, EfficientNetLite0(SLIM)).eval()


@pytest.fixture
def scenes():
    rng = np.random.default_rng(0)
    return [Scene(name, rng.integers(0, 255, (64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)) for name in "ab"]


def test_they_are_probabilities(teacher, scenes):
    soft = soft_labels.soft_labels(teacher, scenes[0].image)
    assert soft.shape == (32, 48, 5)
    assert soft.dtype == np.uint8
    assert np.abs(soft.sum(2, dtype=int) - 255).max() <= 3  # each is rounded


def test_a_mirrored_picture_has_mirrored_ones(teacher, scenes):
    soft = soft_labels.soft_labels(teacher, scenes[0].image)
    mirrored = soft_labels.soft_labels(teacher, np.ascontiguousarray(scenes[0].image[:, ::-1]))
    assert np.abs(mirrored[:, ::-1].astype(int) - soft).max() <= 1


def test_a_file_keeps_them(teacher, scenes, tmp_path):
    file = tmp_path / "soft.npz"
    soft_labels.write(file, scenes, teacher)
    for scene in soft_labels.taught(file, scenes):
        assert np.array_equal(scene.soft, soft_labels.soft_labels(teacher, scene.image))
    with pytest.raises(CheckpointError, match="no soft labels of these 1 pictures"):
        soft_labels.taught(file, scenes[:1])
    file.write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="no soft labels of these 2 pictures; remove it"):
        soft_labels.taught(file, scenes)


def test_the_divergence_is_that_of_kullback_and_leibler():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    soft = (logits.softmax(1) * 255).round().to(torch.uint8)
    assert soft_labels.divergence(logits, soft) == pytest.approx(0, abs=1e-3)
    sure = torch.zeros_like(soft)
    sure[:, 0] = 255
    expected = -logits.log_softmax(1)[:, 0].mean()
    assert soft_labels.divergence(logits, sure) == pytest.approx(float(expected), rel=1e-5)
    half = sure.clone()
    half[..., :2] = 0  # beyond the picture
    expected = -logits.log_softmax(1)[:, 0, :, 2:].mean()
    assert soft_labels.divergence(logits, half) == pytest.approx(float(expected), rel=1e-5)
    assert soft_labels.divergence(logits, torch.zeros_like(soft)) == 0
