"""SSD: its maps and default boxes, who predicts an object, and its loss against plain loops."""

import math

import numpy as np
import pytest
import torch
from true_boxes import targets

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.ssd_lite0 import NEITHER, NOTHING, SHAPES, SSDLite0, hardest, like, match, ssd_loss
from watchline.ops.boxes import iou

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))
GRID = torch.tensor([[0.0, 0, 20, 20], [10, 10, 40, 40], [30, 30, 60, 60], [0, 30, 30, 60], [5, 5, 25, 25]])


@pytest.mark.parametrize(("size", "count"), [(300, 8732), (512, 24564)])
def test_it_has_the_paper_s_default_boxes(size, count):
    model = SSDLite0(3, size, EfficientNetLite0(SLIM)).eval()
    with torch.no_grad():
        raw = model(torch.zeros(1, 3, size, size))
    assert raw.shape == (1, count, 4 + 1 + 3)
    assert model.grid.shape == (count, 4)
    boxes, scores = model.decoded(torch.zeros_like(raw))
    assert torch.allclose(boxes[0], model.grid.clamp(0, size), atol=1e-3)  # no correction: the default boxes
    assert scores.shape == (1, count, 3)
    again = like(model.state_dict())
    assert (again.size, again.classes) == (size, 3)
    assert SHAPES[size][1][0] == math.ceil(size / 8)


def slowly_matched(boxes, ignore):
    overlap = iou(boxes.numpy(), GRID.numpy())
    found = []
    for n in range(len(GRID)):
        g = int(overlap[:, n].argmax())
        found.append(NOTHING if overlap[g, n] <= 0.5 else NEITHER if ignore[g] else g)
    for g in sorted(range(len(boxes)), key=lambda g: overlap[g].max()):
        if not ignore[g]:
            found[int(overlap[g].argmax())] = g
    return found


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_the_paper_s_box_by_box(seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 35, (4, 2)), rng.uniform(5, 30, (4, 2))
    boxes = torch.from_numpy(np.concatenate([corner, corner + size], 1)).float()
    ignore = torch.tensor(rng.random(4) < 0.3)
    assert match(GRID, boxes, ignore).tolist() == slowly_matched(boxes, ignore)


def test_every_object_has_a_default_box_and_an_ignored_one_is_no_background():
    tiny = torch.tensor([[31.0, 31, 33, 33]])
    assert match(GRID, tiny, torch.tensor([False])).tolist().count(0) == 1
    assert match(GRID, GRID[:1], torch.tensor([True])).tolist() == [NEITHER, -1, -1, -1, -1]
    assert match(GRID, torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool)).tolist() == [NOTHING] * 5


def test_three_negatives_count_for_each_positive_the_hardest_of_the_picture():
    found = torch.tensor([[0, -1, -1, -1, -1, -2, -1], [-1, -1, -1, -1, -1, -1, -1]])
    entropy = torch.tensor([[9.0, 1, 5, 2, 4, 8, 3], [7, 6, 5, 4, 3, 2, 1]])
    assert hardest(entropy, found).int().tolist() == [[0, 0, 1, 0, 1, 0, 1], [1, 1, 1, 0, 0, 0, 0]]


def slowly(raw, truth):
    """Equation 1, loop by loop."""
    box = entropy = total = 0.0
    for image in range(len(raw)):
        rows = [g for g in range(len(truth.boxes)) if truth.image[g] == image]
        boxes = truth.boxes[rows]
        found = slowly_matched(boxes, truth.ignore[rows].tolist()) if rows else [NOTHING] * len(GRID)
        losses = []
        for n, g in enumerate(found):
            logits = raw[image, n, 4:].double()
            wanted = 0 if g < 0 else 1 + int(truth.classes[rows[g]])
            losses.append(float(logits.logsumexp(0) - logits[wanted]))
            if g >= 0:
                sure = float(truth.sure[rows[g]])
                (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes[g].tolist(), GRID[n].tolist()
                w, h = u2 - u1, v2 - v1
                goal = [
                    10 * ((x1 + x2) / 2 - (u1 + u2) / 2) / w,
                    10 * ((y1 + y2) / 2 - (v1 + v2) / 2) / h,
                    5 * math.log((x2 - x1) / w),
                    5 * math.log((y2 - y1) / h),
                ]
                for t, p in zip(goal, raw[image, n, :4].tolist(), strict=True):
                    box += sure * (0.5 * (t - p) ** 2 if abs(t - p) < 1 else abs(t - p) - 0.5)
                entropy += sure * losses[n]
                total += sure
        positives = sum(g >= 0 for g in found)
        negatives = sorted((losses[n] for n, g in enumerate(found) if g == NOTHING), reverse=True)
        entropy += sum(negatives[: 3 * max(1, positives)])
    return {"box": box / max(total, 1), "class": entropy / max(total, 1)}


ROWS = ((0, 1, 1, 22, 19, 2), (0, 31, 32, 58, 60, 0), (1, 2, 28, 33, 61, 1), (1, 12, 8, 41, 39, 0))


@pytest.mark.parametrize(("sure", "ignore"), [(1.0, ()), (0.5, (3,))])
def test_the_loss_is_the_paper_s(sure, ignore):
    truth = targets(*ROWS, sure=sure, ignore=ignore)
    raw = torch.randn(3, len(GRID), 8, generator=torch.Generator().manual_seed(0))  # the third has no object
    parts, expected = ssd_loss(raw, GRID, truth), slowly(raw, truth)
    for name, value in expected.items():
        assert float(parts[name]) == pytest.approx(value, rel=1e-4), name
    assert float(parts["loss"]) == pytest.approx(sum(expected.values()), rel=1e-4)


@pytest.mark.parametrize("name", ["box", "class"])
def test_the_gradient_of_each_term_is_its_slope(name):
    raw = torch.randn(2, len(GRID), 8, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    torch.autograd.gradcheck(lambda r: ssd_loss(r, GRID, targets(*ROWS))[name], (raw,), eps=1e-6, atol=1e-5)


def test_it_learns_ten_pictures_by_heart():
    torch.manual_seed(0)
    model = SSDLite0(3, 300, EfficientNetLite0(SLIM)).train()
    maps = [
        torch.randn(10, n, side, side) for n, side in zip((40, 112, model.backbone.last), (38, 19, 10), strict=True)
    ]
    rows = [(i, 20 * i, 15 * i, 20 * i + 90, 15 * i + 120, i % 3) for i in range(10)]
    truth = targets(*rows)
    learning = [*model.extra.parameters(), *model.head.parameters()]
    optimizer = torch.optim.Adam(learning, 2e-3)
    for _ in range(25):
        optimizer.zero_grad()
        loss = model.losses(model.headed(maps), truth)["loss"]
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        boxes, scores = model.decoded(model.headed(maps))
    best = scores.flatten(1).argmax(1)
    right = [
        int(best[i] % 3) == row[5] and iou(boxes[i, best[i] // 3].numpy()[None], truth.boxes[i : i + 1].numpy()) > 0.5
        for i, row in enumerate(rows)
    ]
    assert sum(right) >= 9
