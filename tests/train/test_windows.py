"""Windows of street scenes: the central pixel's class, as the network will see it in use."""

import numpy as np
import torch

from watchline.models.sliding_window import STRIDE, WINDOW, framed
from watchline.ops.camvid import CAMVID
from watchline.train.camvid import Scene
from watchline.train.windows import halved, tensor_of, train, window_at, windows_of


def scene(seed=0, height=100, width=140):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (height // 20, width // 20), np.uint8).repeat(20, 0).repeat(20, 1)
    return Scene("a", np.stack([classes * 80] * 3, 2).astype(np.uint8), classes)


def test_a_training_window_is_what_the_sliding_window_sees():
    one = Scene("a", np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8), np.zeros((50, 70), np.uint8))
    picture = framed(tensor_of(one))
    for y, x in ((0, 0), (16, 24), (48, 64)):
        cut = Scene("w", window_at(one.image, y, x), one.classes)
        assert torch.equal(tensor_of(cut), picture[:, y : y + WINDOW, x : x + WINDOW])
    assert STRIDE == 8


def test_classes_are_those_of_central_pixels():
    windows, classes = windows_of([scene()], 12, np.random.default_rng(0))
    assert windows.shape == (12, 3, WINDOW, WINDOW)
    middle = windows[:, 0, WINDOW // 2, WINDOW // 2] * 128 + 127
    torch.testing.assert_close(middle, classes * 80.0)


def test_halving_keeps_the_classes_places():
    small = halved(scene())
    assert small.image.shape == (50, 70, 3)
    assert np.array_equal(small.image[..., 0] // 80, small.classes)


def test_it_learns():
    losses = [loss for _, loss in train([scene(seed, 200, 280) for seed in range(3)], steps=12)]
    assert losses[0] > 0.8 * np.log(len(CAMVID))
    assert losses[-1] < 0.5 * losses[0]
