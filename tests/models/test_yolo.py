"""YOLO: what the numbers of a cell mean, who answers for an object, and the slide's loss term by term."""

import math

import numpy as np
import pytest
import torch
from true_boxes import targets

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.yolo import COORD, GRID, NOOBJ, SIZE, YOLO, answers, decode, yolo_loss
from watchline.ops.boxes import iou

CELL = SIZE / GRID
SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))


def random_raw(seed, batch=2, classes=3):
    return torch.rand(batch, GRID, GRID, 10 + classes, generator=torch.Generator().manual_seed(seed))


def box_of(cell, row, column, number):
    """A box in shares of the picture, and its confidence, from the numbers of a cell, as the paper says it."""
    x, y, w, h, c = cell[5 * number : 5 * number + 5]
    x, y, w, h = (column + x) / GRID, (row + y) / GRID, max(w, 0) ** 2, max(h, 0) ** 2
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2), c


def test_decoding_is_the_paper_s_box_by_box():
    raw = random_raw(0) - 0.2
    boxes, scores = decode(raw)
    assert boxes.shape == (2, 98, 4)
    assert scores.shape == (2, 98, 3)
    n = 0
    for row in range(GRID):
        for column in range(GRID):
            for number in range(2):
                cell = raw[1, row, column].tolist()
                box, confidence = box_of(cell, row, column, number)
                assert boxes[1, n].tolist() == pytest.approx([SIZE * v for v in box], abs=1e-3)
                expected = [max(confidence, 0) * max(p, 0) for p in cell[10:]]
                assert scores[1, n].tolist() == pytest.approx(expected, abs=1e-6)
                n += 1


def test_the_largest_object_of_a_cell_is_its_own():
    truth = targets((0, 10, 10, 20, 20, 1), (0, 5, 5, 60, 60, 2), (0, 400, 400, 447, 447, 0), (1, 10, 10, 20, 20, 0))
    mine = answers(truth, SIZE)
    assert {*zip(mine.image.tolist(), mine.row.tolist(), mine.column.tolist(), mine.truth.tolist(), strict=True)} == {
        (0, 0, 0, 1),
        (0, 6, 6, 2),
        (1, 0, 0, 3),
    }
    row = mine.truth.tolist().index(1)
    assert mine.place[row].tolist() == pytest.approx([32.5 / CELL, 32.5 / CELL, *[math.sqrt(55 / SIZE)] * 2])


def slowly(raw, truth):
    """The slide's sums, loop by loop."""
    parts = dict.fromkeys(("centre", "size", "object", "background", "class"), 0.0)
    boxes = (truth.boxes / SIZE).tolist()
    for image in range(len(raw)):
        for row in range(GRID):
            for column in range(GRID):
                cell = raw[image, row, column].tolist()
                here = [
                    g
                    for g, (x1, y1, x2, y2) in enumerate(boxes)
                    if truth.image[g] == image
                    and int((x1 + x2) / 2 * GRID) == column
                    and int((y1 + y2) / 2 * GRID) == row
                ]
                mine = [g for g in here if not truth.ignore[g]]
                own = max(mine, key=lambda g: (boxes[g][2] - boxes[g][0]) * (boxes[g][3] - boxes[g][1]), default=None)
                found = [box_of(cell, row, column, j) for j in range(2)]
                best = None
                if own is not None:
                    x1, y1, x2, y2 = boxes[own]
                    overlaps = iou(np.array([b for b, _ in found]), np.array([boxes[own]]))[:, 0]
                    best = int(overlaps.argmax())
                    sure = float(truth.sure[own])
                    x, y, w, h = cell[5 * best : 5 * best + 4]
                    cx, cy = (x1 + x2) / 2 * GRID - column, (y1 + y2) / 2 * GRID - row
                    parts["centre"] += sure * COORD * ((x - cx) ** 2 + (y - cy) ** 2)
                    parts["size"] += sure * COORD * ((w - (x2 - x1) ** 0.5) ** 2 + (h - (y2 - y1) ** 0.5) ** 2)
                    parts["object"] += sure * (found[best][1] - overlaps[best]) ** 2
                    wanted = [float(k == truth.classes[own]) for k in range(len(cell) - 10)]
                    parts["class"] += sure * sum((p - t) ** 2 for p, t in zip(cell[10:], wanted, strict=True))
                if not any(truth.ignore[g] for g in here):
                    parts["background"] += NOOBJ * sum(c**2 for j, (_, c) in enumerate(found) if j != best)
    return {name: value / len(raw) for name, value in parts.items()}


@pytest.mark.parametrize("sure", [1.0, 0.4])
def test_the_loss_is_the_slide_s_term_by_term(sure):
    truth = targets(
        (0, 10, 20, 100, 160, 2),
        (0, 200, 210, 260, 250, 0),
        (0, 205, 200, 230, 262, 1),  # a smaller one in the same cell
        (0, 300, 300, 447, 330, 1),
        (1, 3, 3, 40, 50, 1),
        (1, 100, 300, 130, 320, 1),
        ignore=(3, 5),
        sure=sure,
    )
    raw = random_raw(1)
    parts = yolo_loss(raw, truth)
    expected = slowly(raw, truth)
    for name, value in expected.items():
        assert float(parts[name]) == pytest.approx(float(value), rel=1e-4), name
    assert float(parts["loss"]) == pytest.approx(sum(map(float, expected.values())), rel=1e-4)


@pytest.mark.parametrize("name", ["centre", "size", "object", "background", "class"])
def test_the_gradient_of_each_term_is_its_slope(name):
    truth = targets((0, 10, 20, 100, 160, 2), (0, 300, 300, 447, 330, 1))
    raw = random_raw(2, 1).double()
    moved = torch.ones_like(raw[0, 0, 0], dtype=torch.bool)
    if name == "object":  # whose target, the overlap, follows the boxes and is not learnt
        moved[[0, 1, 2, 3, 5, 6, 7, 8]] = False
    free = raw[..., moved].requires_grad_()

    def term(free):
        return yolo_loss(raw.masked_scatter(moved.expand_as(raw), free), truth)[name]

    torch.autograd.gradcheck(term, (free,), eps=1e-6, atol=1e-5)


def test_pictures_without_objects_teach_the_background_alone():
    parts = yolo_loss(random_raw(3), targets())
    assert float(parts["loss"]) == pytest.approx(float(parts["background"]))
    assert float(parts["background"]) > 0


def test_it_learns_ten_pictures_by_heart():
    torch.manual_seed(0)
    model = YOLO(3, EfficientNetLite0(SLIM)).train()
    coarse = torch.randn(10, model.backbone.last, 2 * GRID, 2 * GRID)  # what a backbone may see in ten pictures
    rows = [(i, 30 * i, 20 * i, 30 * i + 100, 20 * i + 150, i % 3) for i in range(10)]
    truth = targets(*rows)
    learning = [*model.convolutions.parameters(), *model.connected.parameters()]
    optimizer = torch.optim.Adam(learning, 5e-4)
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.losses(model.head(coarse), truth)["loss"]
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        boxes, scores = decode(model.eval().head(coarse))
    best = scores.flatten(1).argmax(1)
    right = [
        int(best[i] % 3) == row[5] and iou(boxes[i, best[i] // 3].numpy()[None], truth.boxes[i : i + 1].numpy()) > 0.5
        for i, row in enumerate(rows)
    ]
    assert sum(right) >= 9
