import math

import numpy as np
import pytest
import torch

from watchline.models.yolov2 import (
    STRIDE,
    Targets,
    YOLOv2,
    assign,
    complete_iou,
    decode,
    normalise,
    region_loss,
    split,
)
from watchline.ops.boxes import iou

PRIORS = torch.tensor([[1.0, 1.5], [3.0, 3.0], [6.0, 4.0]])


def random_raw(seed, batch=2, h=4, w=5, classes=3):
    return 0.7 * torch.randn(batch, len(PRIORS) * (5 + classes), h, w, generator=torch.Generator().manual_seed(seed))


def targets(*rows, ignore=()):
    """Rows (image, x1, y1, x2, y2, class) in pixels."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    flags = torch.zeros(len(table), dtype=torch.bool)
    flags[list(ignore)] = True
    return Targets(table[:, 0].long(), table[:, 1:5], table[:, 5].long(), flags)


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
    ("box", "cells"),
    [
        ((40, 40, 72, 88), {(3, 4), (4, 4), (3, 3)}),  # centre (3.5, 4.0): nearer neighbours right and above
        ((4, 4, 12, 20), {(0, 0), (1, 0), (0, 1)}),  # centre (0.5, 0.75)
        ((0, 0, 8, 8), {(0, 0)}),  # centre (0.25, 0.25): both nearer neighbours are outside
        ((150, 90, 160, 96), {(9, 5)}),  # centre (9.69, 5.81) in the last cell of a 10 x 6 grid
    ],
)
def test_an_object_is_answered_for_by_its_cell_and_the_nearer_neighbours(box, cells):
    image, index, row = assign(targets((0, *box, 1)), PRIORS, 6, 10)
    places = {(int(i) % 10, int(i) % 60 // 10) for i in index}
    assert places == cells
    assert set(image.tolist()) == {0}
    assert set(row.tolist()) == {0}


def test_the_best_prior_and_those_above_half_answer():
    _, index, _ = assign(targets((0, 0, 0, 48, 48, 0)), PRIORS, 6, 10)  # 3 x 3 cells: prior 1 fits
    assert {int(i) // 60 for i in index} == {1}
    _, index, _ = assign(targets((0, 0, 0, 72, 56, 0)), PRIORS, 6, 10)  # 4.5 x 3.5: priors 1 and 2 above 0.5
    assert {int(i) // 60 for i in index} == {1, 2}


def test_ignored_objects_are_nobody_s():
    _, index, _ = assign(targets((0, 0, 0, 48, 48, 0), ignore=[0]), PRIORS, 6, 10)
    assert len(index) == 0


def perfect(box, label, h=6, w=10, classes=3):
    """The raw numbers of a network that finds one object exactly, and is sure of nothing else."""
    raw = torch.zeros(1, len(PRIORS), 5 + classes, h, w)
    raw[:, :, 4] = -12
    size = ((box[2] - box[0]) / STRIDE, (box[3] - box[1]) / STRIDE)
    centre = ((box[0] + box[2]) / 2 / STRIDE, (box[1] + box[3]) / 2 / STRIDE)
    _, index, _ = assign(targets((0, *box, label)), PRIORS, h, w)
    for i in index.tolist():
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
