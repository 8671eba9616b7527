"""The small Mask R-CNN: its mask loss, its targets against a slow oracle, and that it learns."""

import numpy as np
import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.fast_rcnn import TrueBoxes
from watchline.models.faster_rcnn import RegionSettings
from watchline.models.mask_rcnn_lite import (
    LiteMaskRCNN,
    MaskBranch,
    MaskSettings,
    mask_loss,
    mask_targets,
)
from watchline.models.yolov2 import SHAPES
from watchline.ops.masks import Masks

SMALL = MaskSettings(
    region=RegionSettings(
        scales=(16.0, 32.0), ratios=(1.0, 2.0), before=40, proposals=16, tested=16, regions=8, anchors=64
    ),
    masks=6,
    objects=2,
)


def truth(boxes, ignore=()):
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    flags[list(ignore)] = True
    return TrueBoxes(
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4), torch.zeros(len(boxes), dtype=torch.long), flags
    )


def planes_of(boxes, height=64, width=64):
    """Ellipses in the boxes."""
    y, x = np.mgrid[:height, :width] + 0.5
    return torch.from_numpy(
        np.stack(
            [
                ((x - (a + c) / 2) / (c - a) * 2) ** 2 + ((y - (b + d) / 2) / (d - b) * 2) ** 2 <= 1
                for a, b, c, d in boxes
            ]
        )
    )


def test_only_the_mask_of_the_true_class_is_trained():
    """A binary mask per class: the others' rows of the last layer have no gradient, nor have unused regions."""
    torch.manual_seed(0)
    branch = MaskBranch(classes=4)
    patches = torch.randn(1, 3, 96, 14, 14, requires_grad=True)
    logits = branch(patches, torch.tensor([[2, 2, 1]]))
    mask_loss(logits, torch.rand(1, 3, 28, 28), torch.tensor([[True, True, False]])).backward()
    touched = branch.logits.weight.grad.flatten(1).abs().sum(1) > 0
    assert touched.tolist() == [False, False, True, False]
    assert (branch.logits.bias.grad != 0).tolist() == [False, False, True, False]
    assert (patches.grad.abs().sum((2, 3, 4)) > 0).tolist() == [[True, True, False]]


def test_the_gradient_of_the_mask_loss_is_that_of_its_value():
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    goals, used = torch.rand(1, 2, 3, 3, dtype=torch.float64), torch.tensor([[True, False]])
    assert torch.autograd.gradcheck(lambda x: mask_loss(x, goals, used), logits)
    assert mask_loss(logits, goals, torch.zeros(1, 2, dtype=torch.bool)) == 0
    by_hand = -(goals[0, 0] * logits[0, 0].sigmoid().log() + (1 - goals[0, 0]) * (1 - logits[0, 0].sigmoid()).log())
    torch.testing.assert_close(mask_loss(logits, goals, used), by_hand.mean())


def test_a_row_of_the_branch_is_a_class():
    """The logits of a class are those of a network that computes all classes and picks one."""
    torch.manual_seed(0)
    branch, patches, labels = MaskBranch(3), torch.randn(2, 4, 96, 14, 14), torch.randint(3, (2, 4))
    every = branch.logits(branch.finer(branch.layers(patches.flatten(0, 1))).relu()).view(2, 4, 3, 28, 28)
    expected = every.gather(2, labels[:, :, None, None, None].expand(-1, -1, 1, 28, 28))[:, :, 0]
    torch.testing.assert_close(branch(patches, labels), expected, atol=1e-5, rtol=1e-5)


def slowly(region, plane):
    """The share of the plane in each of 28 x 28 bins, by 2 x 2 samples between the four nearest pixel centres."""
    height, width = plane.shape
    x1, y1, x2, y2 = (float(side) for side in region)
    step_x, step_y = max(x2 - x1, 1.0) / 56, max(y2 - y1, 1.0) / 56
    samples = np.zeros((56, 56))
    for i in range(56):
        for j in range(56):
            y, x = y1 - 0.5 + (i + 0.5) * step_y, x1 - 0.5 + (j + 0.5) * step_x
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, along = y - top, x - left
            upper = plane[top, left] * (1 - along) + plane[top, right] * along
            lower = plane[below, left] * (1 - along) + plane[below, right] * along
            samples[i, j] = upper * (1 - down) + lower * down
    return samples.reshape(28, 2, 28, 2).mean((1, 3))


def test_targets_are_the_pixels_of_the_object_that_is_overlapped_most():
    boxes = [[4, 6, 30, 60], [28, 10, 60, 50], [0, 0, 64, 64]]
    planes = planes_of(boxes)
    planes = torch.cat([planes, torch.zeros(1, 64, 64, dtype=torch.bool)])
    real = truth([*boxes, [40, 40, 60, 60]], ignore=[2])
    regions = torch.tensor([[5.0, 5, 29, 61], [27.3, 8, 61, 52.5], [-3, -2, 20, 50], [41, 39, 61, 60], [0, 0, 0, 0]])
    goals, has_mask = mask_targets(regions, real, planes)
    assert has_mask[:4].tolist() == [True, True, True, False]
    for row, match in ((0, 0), (1, 1), (2, 0), (3, 3)):
        expected = slowly(regions[row], planes[match].numpy().astype(float))
        np.testing.assert_allclose(goals[row].numpy(), expected, atol=1e-4)
    assert 0.5 < goals[0].mean() < 1
    nothing, none = mask_targets(regions, truth([]), torch.zeros(0, 64, 64, dtype=torch.bool))
    assert (nothing.abs().sum(), none.any()) == (0, False)


def test_shapes_and_what_an_empty_row_is():
    torch.manual_seed(0)
    model = LiteMaskRCNN(3, SMALL).eval()
    with torch.no_grad():
        boxes, scores, masks = model(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    assert (boxes.shape, scores.shape, masks.shape) == ((2, 6, 4), (2, 6, 3), (2, 6, 28, 28))
    assert ((scores > 0).sum(-1) <= 1).all()
    assert (boxes[scores.sum(-1) == 0] == 0).all()
    assert 0 <= masks.min() < masks.max() <= 1
    best = scores.amax(-1)
    assert (best[:, :-1] >= best[:, 1:]).all()


@pytest.mark.parametrize("people", [[], [[4, 6, 30, 60]]])
def test_losses_are_finite_also_without_objects(people):
    torch.manual_seed(0)
    model = LiteMaskRCNN(1, SMALL)
    planes = planes_of(people) if people else torch.zeros(0, 64, 64, dtype=torch.bool)
    losses = model.losses(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), [truth(people)], [planes])
    assert set(losses) == {"loss", "rpn class", "rpn box", "roi class", "roi box", "mask"}
    torch.testing.assert_close(losses["loss"], sum(value for name, value in losses.items() if name != "loss"))
    assert (losses["mask"] > 0) == bool(people)
    losses["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_it_learns_six_pictures_by_heart():
    """Bright ellipses before a dark ground: after some steps it finds nearly all of them, with their masks."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images, truths, planes = [], [], []
    for _ in range(6):
        x, y = rng.integers(2, 34, 2)
        box = [[int(x), int(y), int(x) + int(rng.integers(16, 26)), int(y) + int(rng.integers(20, 28))]]
        plane = planes_of(box)
        image = rng.integers(0, 90, (3, 64, 64)).astype(np.uint8)
        image[:, plane[0].numpy()] = rng.integers(150, 250, (3, 1))
        images.append(torch.from_numpy(image))
        truths.append(truth(box))
        planes.append(plane)
    images = torch.stack(images)
    model = LiteMaskRCNN(1, SMALL, EfficientNetLite0(SHAPES["slim"].widths))
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.3
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    history = []
    for _ in range(40):
        losses = model.losses(images, truths, planes)
        history.append(float(losses["loss"].detach()))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    assert history[-1] < 0.3 * history[0]
    model.eval()
    with torch.no_grad():
        boxes, _, masks = model(images)
    overlaps = []
    for box, soft, plane in zip(boxes, masks, planes, strict=True):
        found = Masks.from_boxes(box[:1].numpy(), soft[:1].numpy(), (64, 64)).dense()[0]
        real = plane[0].numpy()
        overlaps.append((found & real).sum() / (found | real).sum())
    assert np.median(overlaps) > 0.75
