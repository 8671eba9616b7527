"""Sliding-window segmentation, and the same network at once: equal results, each pixel by its own window."""

import torch

from watchline.models.sliding_window import STRIDE, WINDOW, WindowNet, at_once, by_windows, framed


def test_once_over_the_picture_equals_every_window():
    torch.manual_seed(0)
    model = WindowNet(4, hidden=16).eval()
    image = torch.randn(3, 45, 62)
    with torch.no_grad():
        slow, fast = by_windows(model, image, batch=7), at_once(model, image)
    assert slow.shape == fast.shape == (4, 6, 8)  # pixels 0, 8, … of 45 x 62
    assert slow.std() > 1e-3
    assert (slow - fast).abs().max() < 1e-5


def test_a_window_sees_its_central_pixel_in_the_middle():
    image = torch.arange(45.0 * 62).reshape(1, 45, 62).expand(3, -1, -1)
    windows = framed(image).unfold(1, WINDOW, STRIDE).unfold(2, WINDOW, STRIDE)
    middle = WINDOW // 2
    assert torch.equal(windows[0, 2, 3, middle, middle], image[0, 2 * STRIDE, 3 * STRIDE])


def test_nothing_outside_the_window_counts():
    model = WindowNet(3, hidden=8).eval()
    image = torch.randn(3, 60, 140)
    other = image.clone()
    other[:, :, WINDOW // 2 + 1 :] += 1.0
    with torch.no_grad():
        before, after = at_once(model, image), at_once(model, other)
    assert torch.equal(before[..., 0], after[..., 0])
    assert not torch.equal(before[..., 1], after[..., 1])
