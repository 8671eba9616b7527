import math

import numpy as np
import pytest
import torch
from true_boxes import targets

from watchline.models.efficientnet_lite import normalise
from watchline.models.yolov2 import (
    STRIDE,
    YOLOv2,
    assign,
    background,
    candidates,
    complete_iou,
    decode,
    region_loss,
    split,
)
from watchline.ops.boxes import iou

PRIORS = torch.tensor([[1.0, 1.5], [3.0, 3.0], [6.0, 4.0]])


def random_raw(seed, batch=2, h=4, w=5, classes=3):
    return 0.7 * torch.randn(batch, len(PRIORS) * (5 + classes), h, w, generator=torch.Generator().manual_seed(seed))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_split_is_the_paper_s_location_prediction_cell_by_cell():
    raw = random_raw(0)
    boxes, objectness, classes = split(raw, PRIORS)
    numbers = raw.numpy().reshape(2, 3, 8, 4, 5)
    n = 0
    for k in range(3):
        for row in range(4):
            for column in range(5):
                for b in range(2):
                    tx, ty, tw, th, to, *tc = numbers[b, k, :, row, column]
                    x, y = column + 2 * sigmoid(tx) - 0.5, row + 2 * sigmoid(ty) - 0.5
                    w, h = PRIORS[k, 0] * math.exp(tw), PRIORS[k, 1] * math.exp(th)
                    expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    assert boxes[b, n].tolist() == pytest.approx([float(v) for v in expected], abs=1e-4)
                    assert objectness[b, n] == pytest.approx(to)
                    assert classes[b, n].tolist() == pytest.approx(tc)
                n += 1


def test_decode_gives_pixels_and_scores_that_sum_to_the_objectness():
    raw = random_raw(1)
    boxes, scores = decode(raw, PRIORS)
    cells, objectness, _ = split(raw, PRIORS)
    assert torch.allclose(boxes, cells * STRIDE)
    assert torch.allclose(scores.sum(-1), objectness.sigmoid(), atol=1e-6)


def test_complete_iou_is_iou_for_one_centre_and_shape_and_less_elsewhere():
    same = torch.tensor([[0.0, 0, 4, 4]])
    assert complete_iou(same, same).item() == pytest.approx(1, abs=1e-5)
    inner = torch.tensor([[1.0, 1, 3, 3]])  # same centre, same shape
    assert complete_iou(same, inner).item() == pytest.approx(4 / 16, abs=1e-5)
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.uniform(0, 50, (40, 2, 2)), axis=1).reshape(40, 4).astype(np.float32) for _ in range(2))
    numpy_iou = np.diag(iou(a, b))
    assert (complete_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy() <= numpy_iou + 1e-5).all()


def test_complete_iou_of_far_boxes_still_has_a_gradient():
    a = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    complete_iou(a, torch.tensor([[10.0, 0, 11, 1]])).sum().backward()
    assert a.grad[0, 0] + a.grad[0, 2] > 0  # moving the whole box right brings it nearer


@pytest.mark.parametrize(
    ("centre", "cells"),
    [
        ((3.6, 4.2), {(3, 3), (4, 3), (3, 4), (4, 4)}),
        ((0.25, 0.25), {(0, 0)}),  # the others are outside
        ((9.7, 5.8), {(9, 5)}),  # of a 10 x 6 grid
        ((5.5, 0.2), {(5, 0), (6, 0)}),  # in the middle of a cell: its own and the next
    ],
)
def test_the_cells_that_can_reach_a_centre_compete_for_it(centre, cells):
    index, inside = candidates(torch.tensor([centre]), len(PRIORS), 6, 10)
    assert index.shape == inside.shape == (1, 4 * len(PRIORS))
    found = index[inside].tolist()
    assert {(i % 10, i % 60 // 10) for i in found} == cells
    assert sorted(i // 60 for i in found) == sorted(list(range(len(PRIORS))) * len(cells))


def slowly_assigned(boxes, objectness, logits, truth, height, width):
    """Loop by loop: (picture, prediction, row) of all who answer."""
    claims = {}
    for row in range(len(truth.boxes)):
        if truth.ignore[row]:
            continue
        image, box, label = int(truth.image[row]), truth.boxes[row] / STRIDE, int(truth.classes[row])
        x, y = ((box[:2] + box[2:]) / 2).tolist()
        offers = []
        for k in range(len(PRIORS)):
            for i in range(height):
                for j in range(width):
                    if abs(x - j - 0.5) < 1 and abs(y - i - 0.5) < 1:
                        n = (k * height + i) * width + j
                        overlap = iou(boxes[image, n][None].numpy(), box[None].numpy())[0, 0]
                        likely = sigmoid(objectness[image, n]) * float(logits[image, n].softmax(-1)[label])
                        offers.append((likely * overlap**3, overlap, n))
        wins = max(1, round(float(sum(sorted((o[1] for o in offers), reverse=True)[:10]))))
        for match, _, n in sorted(offers, reverse=True)[:wins]:
            if match > claims.get((image, n), (0, 0))[0]:
                claims[image, n] = match, row
    return {(image, n, row) for (image, n), (_, row) in claims.items()}


@pytest.mark.parametrize("seed", range(6))
def test_the_best_matches_answer_as_many_as_their_overlaps_add_up_to(seed):
    boxes, objectness, logits = split(random_raw(seed, h=6, w=10), PRIORS)
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1, (7, 2)) * [110, 50]
    sides = rng.uniform(12, 80, (7, 2))
    rows = [
        (int(rng.integers(2)), *c, *np.minimum(c + s, [160, 96]), int(rng.integers(3)))
        for c, s in zip(corners, sides, strict=True)
    ]
    truth = targets(*rows, ignore=[3])
    found = assign(boxes, objectness, logits, truth, 6, 10)
    slow = slowly_assigned(boxes, objectness, logits, truth, 6, 10)
    assert set(zip(*(t.tolist() for t in found), strict=True)) == slow
    assert {row for _, _, row in slow} >= {0, 1, 2} - {3}


def test_two_objects_that_want_one_prediction_the_better_match_has_it():
    boxes, objectness, logits = split(torch.zeros(1, 3 * 8, 6, 10), PRIORS)
    truth = targets((0, 40, 40, 72, 88, 1), (0, 40, 40, 74, 90, 1))
    image, index, _ = assign(boxes, objectness, logits, truth, 6, 10)
    places = list(zip(image.tolist(), index.tolist(), strict=True))
    assert len(places) == len(set(places))


def test_ignored_objects_are_nobody_s():
    boxes, objectness, logits = split(torch.zeros(1, 3 * 8, 6, 10), PRIORS)
    _, index, _ = assign(boxes, objectness, logits, targets((0, 0, 0, 48, 48, 0), ignore=[0]), 6, 10)
    assert len(index) == 0


def perfect(box, label, h=6, w=10, classes=3):
    """The raw numbers of a network that finds one object exactly, and is sure of nothing else."""
    raw = torch.zeros(1, len(PRIORS), 5 + classes, h, w)
    raw[:, :, 4] = -12
    size = ((box[2] - box[0]) / STRIDE, (box[3] - box[1]) / STRIDE)
    centre = ((box[0] + box[2]) / 2 / STRIDE, (box[1] + box[3]) / 2 / STRIDE)
    index, inside = candidates(torch.tensor([centre]), len(PRIORS), h, w)
    for i in index[inside].tolist():
        k, row, column = i // (h * w), i % (h * w) // w, i % w
        for axis, cell in enumerate((column, row)):
            share = (centre[axis] - cell + 0.5) / 2
            share = min(max(share, 1e-6), 1 - 1e-6)
            raw[0, k, axis, row, column] = math.log(share / (1 - share))
            raw[0, k, 2 + axis, row, column] = math.log(size[axis] / PRIORS[k, axis])
        raw[0, k, 4, row, column] = 12
        raw[0, k, 5 + label, row, column] = 20
    return raw.flatten(1, 2)


def test_a_perfect_answer_costs_nothing_and_each_fault_costs_its_part():
    box = (40, 40, 90, 92)
    truth = targets((0, *box, 2))
    right = region_loss(perfect(box, 2), PRIORS, truth)
    assert float(right["loss"]) < 0.01
    wrong_class = region_loss(perfect(box, 1), PRIORS, truth)
    assert float(wrong_class["class"]) > 10
    assert float(wrong_class["coord"]) < 0.01
    elsewhere = region_loss(perfect((100, 8, 150, 60), 2), PRIORS, truth)
    assert float(elsewhere["objectness"]) > 5


def test_what_lies_on_an_ignored_box_is_not_background():
    box = (40, 40, 90, 92)
    seen = perfect(box, 2)
    nothing_there = region_loss(seen, PRIORS, targets())
    unsure = region_loss(seen, PRIORS, targets((0, *box, 2), ignore=[0]))
    assert float(nothing_there["objectness"]) > 20
    assert float(unsure["objectness"]) < 0.1


def test_where_a_class_is_open_one_that_is_seen_is_no_mistake():
    box = (40, 40, 90, 92)
    seen = perfect(box, 2)
    here, elsewhere = (0, 0, 0, 100, 96, 2), (0, 100, 0, 160, 96, 2)
    assert float(region_loss(seen, PRIORS, targets(opened=[here]))["objectness"]) < 0.1
    assert float(region_loss(seen, PRIORS, targets(opened=[elsewhere]))["objectness"]) > 20
    assert float(region_loss(seen, PRIORS, targets(opened=[(*here[:5], 1)]))["objectness"]) > 20


def test_background_is_what_overlaps_nothing_box_by_box():
    raw = random_raw(4, h=6, w=10)
    boxes, _, logits = split(raw, PRIORS)
    truth = targets((0, 20, 20, 60, 70, 0), (1, 50, 10, 120, 80, 1), (1, 0, 40, 60, 96, 2), ignore=[2])
    found = background(boxes, logits, truth)
    for b in range(2):
        for n in range(boxes.shape[1]):
            mine = truth.image == b
            overlap = iou(boxes[b, n][None].numpy(), truth.boxes[mine].numpy() / STRIDE)[0]
            limits = np.where(truth.ignore[mine].numpy(), 0.4, 0.6)
            assert bool(found[b, n]) == (not (overlap > limits).any())


def test_an_unsure_label_counts_less_and_asks_for_less_objectness():
    box = (40, 40, 90, 92)
    raw = perfect(box, 2)
    raw.requires_grad_()
    region_loss(raw, PRIORS, targets((0, *box, 2), sure=0.5))["objectness"].backward()
    numbers = raw.grad.view(1, len(PRIORS), 8, 6, 10)[:, :, 4]
    assert numbers.max() > 0  # objectness 1 is too much for a label that is half sure
    assert numbers.min() >= -1e-6


def test_the_gradient_of_the_classes_is_right():
    raw = random_raw(5, batch=1, h=3, w=3).double().requires_grad_()
    truth = targets((0, 4, 4, 40, 36, 1), (0, 10, 20, 30, 44, 2), sure=0.7)
    assert torch.autograd.gradcheck(lambda r: region_loss(r, PRIORS.double(), truth)["class"], raw)


def test_a_step_down_the_gradient_brings_boxes_and_objectness_nearer():
    raw = random_raw(5).requires_grad_()
    truth = targets((0, 4, 4, 40, 36, 1), (1, 10, 20, 30, 44, 2))
    before = region_loss(raw, PRIORS, truth)
    before["loss"].backward()
    after = region_loss(raw.detach() - 0.02 * raw.grad, PRIORS, truth)
    for part in ("loss", "coord", "objectness", "class"):
        assert after[part] < before[part], part


def test_a_batch_without_objects_has_a_loss_and_a_gradient():
    raw = random_raw(3).requires_grad_()
    parts = region_loss(raw, PRIORS, targets())
    parts["loss"].backward()
    assert parts["coord"].item() == parts["class"].item() == 0
    assert torch.isfinite(raw.grad).all()
    assert raw.grad.abs().sum() > 0


@pytest.mark.slow
def test_it_overfits_two_pictures():
    torch.manual_seed(0)
    model = YOLOv2(PRIORS, classes=3)
    images = torch.full((2, 3, 96, 96), 90, dtype=torch.uint8)
    images[0, 0, 20:60, 10:50] = 250
    images[1, 2, 40:90, 40:90] = 250
    truth = targets((0, 10, 20, 50, 60, 0), (1, 40, 40, 90, 90, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(50):
        loss = region_loss(model(normalise(images)), model.priors, truth)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.train()  # batch statistics of these two pictures
    boxes, scores = decode(model(normalise(images)).detach(), model.priors)
    for b, (box, label) in enumerate((((10, 20, 50, 60), 0), ((40, 40, 90, 90), 2))):
        best = scores[b].max(dim=-1).values.argmax()
        assert int(scores[b, best].argmax()) == label
        assert iou(boxes[b, best : best + 1].numpy(), np.array([box], np.float32))[0, 0] > 0.7


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 160)])
def test_the_grid_has_stride_16(height, width):
    raw = YOLOv2(PRIORS, classes=3).eval()(torch.zeros(2, 3, height, width))
    assert raw.shape == (2, 3 * 8, height // 16, width // 16)
