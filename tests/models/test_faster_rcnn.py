import math

import numpy as np
import pytest
import reference
import torch
from regions import boxes_in, noise, seeded, smooth_l1, truth

from watchline.models import fast_rcnn
from watchline.models.boxes import encode
from watchline.models.fast_rcnn import UNUSED, TrueBoxes, detections, roi_losses
from watchline.models.faster_rcnn import (
    RPN,
    SCALES,
    FasterRCNN,
    RegionSettings,
    anchor_shapes,
    label_anchors,
    place_anchors,
    propose,
    rpn_losses,
)
from watchline.models.lite_trunk import LiteTrunk
from watchline.models.vgg import VGG16
from watchline.ops.average_precision import Predictions, Truth, average_precision
from watchline.ops.nms import nms_per_class

SMALL = RegionSettings(scales=(16.0, 32.0, 64.0), before=200, proposals=60, tested=20, anchors=32, regions=16)
SIZE = (96, 64)  # width, height


# Anchors and proposals


def test_the_nine_anchors_of_the_paper():
    shapes = anchor_shapes(SCALES)
    assert torch.equal(shapes[:, :2], -shapes[:, 2:])  # about the middle
    sides = [tuple(round(v) for v in row) for row in (shapes[:, 2:] - shapes[:, :2]).tolist()]
    assert sides == [  # areas of 128^2, 256^2 and 512^2 pixels; 2:1, 1:1 and 1:2
        *((181, 91), (128, 128), (91, 181)),
        *((362, 181), (256, 256), (181, 362)),
        *((724, 362), (512, 512), (362, 724)),
    ]


def test_they_are_those_of_the_released_code_but_for_its_rounding():
    """generate_anchors.py of py-faster-rcnn, whose boxes include their last pixel; it rounds sides at 16 pixels."""
    table = """-84 -40 99 55  -56 -56 71 71  -36 -80 51 95  -176 -88 191 103  -120 -120 135 135  -80 -168 95 183
               -360 -184 375 199  -248 -248 263 263  -168 -344 183 359"""
    theirs = np.array(table.split(), float).reshape(9, 2, 2)
    sides = theirs[:, 1] - theirs[:, 0] + 1
    centres = (theirs[:, 0] + theirs[:, 1] + 1) / 2
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8]  # ours go ratio by ratio inside a scale, theirs come so written above
    ours = anchor_shapes(SCALES).numpy()
    assert sorted(order) == list(range(9))
    assert np.abs((ours[:, 2:] - ours[:, :2]) / sides - 1).max() < 0.06
    assert (centres == 8).all()


def test_anchors_stand_on_the_middle_of_each_cell_row_by_row():
    placed = place_anchors((16.0, 32.0), (48, 32), 16).view(2, 3, 6, 4)  # row, column, kind
    for row, column in np.ndindex(2, 3):
        centre = (placed[row, column, :, :2] + placed[row, column, :, 2:]) / 2
        assert torch.allclose(centre, torch.tensor([column * 16 + 8.0, row * 16 + 8.0]).expand(6, 2))
        assert torch.allclose(placed[row, column] - placed[0, 0], torch.tensor([column * 16.0, row * 16.0] * 2))


def test_the_rpn_speaks_of_the_anchors_in_their_order():
    rpn = RPN(2, 3)
    with torch.no_grad():
        for layer in (rpn.window, rpn.objectness, rpn.deltas):
            layer.weight.zero_()
        rpn.window.weight[0, 0, 1, 1] = 1  # what lies in the middle of the window
        rpn.objectness.weight[1, 0] = 1
        rpn.objectness.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
        rpn.deltas.bias.copy_(torch.arange(12.0))
    features = torch.zeros(1, 2, 4, 5)
    features[0, 0, 2, 3] = 7
    objectness, deltas = rpn(features)
    assert objectness.shape == (1, 60)
    assert int(objectness.argmax()) == (2 * 5 + 3) * 3 + 1  # row 2, column 3, kind 1
    assert objectness[0, :3].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert deltas.shape == (1, 60, 4)
    assert deltas[0, 31].tolist() == [4, 5, 6, 7]  # kind 1


@pytest.mark.parametrize(("before", "count"), [(200, 20), (30, 25), (1000, 1000)])
def test_proposals_are_the_best_anchors_moved_cut_and_suppressed(before, count):
    anchors = place_anchors(SMALL.scales, SIZE, 16)
    objectness, deltas = seeded(2, len(anchors)), seeded(2, len(anchors), 4, seed=1) * 0.3
    settings = RegionSettings(scales=SMALL.scales, before=before, overlap=0.5)
    regions, found = propose(objectness, deltas, anchors, SIZE, settings, count)
    assert regions.shape[1] == min(count, before, len(anchors))
    for b in range(2):
        order = sorted(range(len(anchors)), key=lambda i, b=b: -float(objectness[b, i]))[:before]
        boxes = []
        for i in order:
            (x1, y1, x2, y2), (tx, ty, tw, th) = anchors[i].tolist(), deltas[b, i].tolist()
            w, h = (x2 - x1) * math.exp(tw), (y2 - y1) * math.exp(th)
            x, y = (x1 + x2) / 2 + tx * (x2 - x1), (y1 + y2) / 2 + ty * (y2 - y1)
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            boxes.append([min(max(v, 0), limit) for v, limit in zip(corners, SIZE * 2, strict=True)])
        kept = reference.nms(boxes, [-i for i in range(len(boxes))], [0] * len(boxes), 0.5)[:count]
        assert int(found[b].sum()) == len(kept)
        assert found[b, : len(kept)].all()
        assert np.allclose(regions[b, : len(kept)], [boxes[i] for i in kept], atol=1e-3)
        assert not regions[b, len(kept) :].any()


# Mini-batches


def wanted_labels(anchors, real, ignored, size, settings):
    """Section 3.1.2 in loops: for each anchor 1, 0 or UNUSED, and the true box it is matched with."""
    labels, matches = [], []
    fits = [a[0] >= 0 and a[1] >= 0 and a[2] <= size[0] and a[3] <= size[1] for a in anchors]
    kinds = 3 * len(settings.scales)
    fits = [fits[i] or not any(fits[i % kinds :: kinds]) for i in range(len(anchors))]
    highest = [max(reference.iou(a, g) for a, f in zip(anchors, fits, strict=True) if f) for g in real]
    for anchor, fit in zip(anchors, fits, strict=True):
        overlaps = [reference.iou(anchor, g) for g in real]
        most = max(overlaps, default=0.0)
        best = any(o == h > 0 for o, h in zip(overlaps, highest, strict=True))
        unsure = any(reference.iou(anchor, g) >= settings.far for g in ignored)
        matches.append(overlaps.index(most) if overlaps else None)
        if fit and (most >= settings.near or best):
            labels.append(1)
        elif fit and most < settings.far and not unsure:
            labels.append(0)
        else:
            labels.append(UNUSED)
    return labels, matches


@pytest.mark.parametrize(
    ("real", "ignored", "size", "why"),
    [
        ([(10, 8, 60, 40, 1), (50, 30, 90, 60, 0)], [], SIZE, "objects of usual size"),
        ([(3, 3, 8, 9, 1)], [], SIZE, "an object that no anchor overlaps by 0.7: the best of them is positive"),
        ([(8, 8, 40, 40, 0), (9, 9, 41, 41, 2)], [], SIZE, "two objects in one place"),
        ([(10, 8, 60, 40, 1)], [(40, 20, 90, 60, 0)], SIZE, "beside one that is ignored"),
        ([], [(0, 0, 96, 64, 0)], SIZE, "nothing but what is ignored"),
        ([], [], SIZE, "an empty picture"),
        ([(0, 0, 48, 48, 1)], [], (48, 48), "anchors that fit nowhere learn as well"),
    ],
)
def test_anchors_are_labelled_as_in_the_paper(real, ignored, size, why):
    anchors = place_anchors(SMALL.scales, size, 16).double()  # so that the loops' ties are ties here
    settings = RegionSettings(scales=SMALL.scales, anchors=10**6)  # all of them, no drawing
    found = truth(*real, *ignored, ignore=range(len(real), len(real) + len(ignored)))
    found = TrueBoxes(found.boxes.double(), found.classes, found.ignore)
    labels, goals = label_anchors(anchors, found, size, settings)
    boxes = [row[:4] for row in real]
    expected, matches = wanted_labels(anchors.tolist(), boxes, [row[:4] for row in ignored], size, settings)
    assert labels.tolist() == expected, why
    for i, label in enumerate(expected):
        if label == 1:
            goal = encode(torch.tensor(boxes[matches[i]], dtype=torch.float64), anchors[i])
            assert torch.allclose(goals[i], goal)
        else:
            assert not goals[i].any()
    if real:
        assert 1 in expected


def test_a_mini_batch_of_anchors_has_its_size_and_at_most_half_are_positive():
    anchors = place_anchors(SMALL.scales, (320, 320), 16)
    found = truth(*((x, y, x + 32, y + 32, 0) for x in range(8, 280, 16) for y in range(8, 280, 16)))
    torch.manual_seed(0)
    first, _ = label_anchors(anchors, found, (320, 320), SMALL)
    second, _ = label_anchors(anchors, found, (320, 320), SMALL)
    torch.manual_seed(0)
    again, _ = label_anchors(anchors, found, (320, 320), SMALL)
    assert int((first == 1).sum()) == 16
    assert int((first == 0).sum()) == 16
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    few, _ = label_anchors(anchors, truth((9, 9, 40, 40, 0)), (320, 320), SMALL)
    assert int((few == 0).sum()) == 32 - int((few == 1).sum()) > 16  # filled up with negatives


# Losses


def test_the_rpn_s_losses_are_equation_1_term_by_term():
    objectness, deltas, goals = seeded(2, 20) * 3, seeded(2, 20, 4, seed=1) * 2, seeded(2, 20, 4, seed=2)
    labels = torch.randint(-1, 2, (2, 20), generator=torch.Generator().manual_seed(3))
    losses = rpn_losses(objectness, deltas, labels, goals, positions=6, settings=RegionSettings(balance=10.0))
    log_loss = distance = used = 0.0
    for b, i in np.ndindex(2, 20):
        if labels[b, i] == UNUSED:
            continue
        p = 1 / (1 + math.exp(-float(objectness[b, i])))
        log_loss -= math.log(p if labels[b, i] == 1 else 1 - p)
        used += 1
        if labels[b, i] == 1:
            distance += sum(smooth_l1(float(deltas[b, i, j] - goals[b, i, j])) for j in range(4))
    assert float(losses["rpn class"]) == pytest.approx(log_loss / used, rel=1e-5)
    assert float(losses["rpn box"]) == pytest.approx(10 * distance / (2 * 6), rel=1e-5)


@pytest.mark.parametrize("empty", ["rpn", "roi"])
def test_a_batch_without_objects_has_losses_and_gradients(empty):
    outputs = seeded(1, 5, 3).requires_grad_(), seeded(1, 5, 4).requires_grad_()
    if empty == "rpn":
        labels = torch.zeros(1, 5, dtype=torch.int64)
        losses = rpn_losses(outputs[0][..., 0], outputs[1], labels, torch.zeros(1, 5, 4), 5, SMALL)
    else:
        moves = outputs[1].unsqueeze(2).expand(-1, -1, 2, -1)
        losses = roi_losses(outputs[0], moves, torch.zeros(1, 5, dtype=torch.int64), torch.zeros(1, 5, 4))
    assert float(losses[f"{empty} box"].detach()) == 0
    sum(losses.values()).backward()
    assert outputs[0].grad.abs().sum() > 0
    assert torch.isfinite(outputs[1].grad).all()


# Both networks


def network(trunk="lite", classes=3, settings=SMALL, seed=0):
    torch.manual_seed(seed)
    return FasterRCNN(LiteTrunk(hidden=32) if trunk == "lite" else VGG16(hidden=32), classes, settings)


@pytest.mark.parametrize("trunk", ["lite", "vgg16"])
def test_every_parameter_has_a_gradient_and_the_losses_begin_at_chance(trunk):
    model = network(trunk).train()
    truths = [truth((10, 8, 60, 40, 1), (50, 30, 90, 60, 0)), truth((20, 4, 50, 62, 2))]
    losses = model.losses(noise(2, 96, 64), truths)
    assert list(losses) == ["loss", "rpn class", "rpn box", "roi class", "roi box"]
    assert float(losses["loss"].detach()) == pytest.approx(sum(float(losses[k].detach()) for k in list(losses)[1:]))
    assert float(losses["rpn class"].detach()) == pytest.approx(math.log(2), abs=0.15)
    assert float(losses["roi class"].detach()) == pytest.approx(math.log(4), abs=0.15)
    losses["loss"].backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("trunk", ["lite", "vgg16"])
def test_shapes_and_ranges_of_what_comes_out(trunk):
    model = network(trunk).eval()
    with torch.no_grad():
        boxes, scores = model(noise(2, 96, 64))
    assert boxes.shape == (2, 60, 4)  # 20 regions of 3 classes
    assert scores.shape == (2, 60, 3)
    assert ((scores > 0).sum(-1) <= 1).all()
    assert (scores.sum(-1).diff(dim=1) <= SMALL.tested * fast_rcnn.TIE).all()  # best first, but for near ties
    limit = torch.tensor([96.0, 64.0, 96.0, 64.0])
    assert (boxes >= 0).all()
    assert (boxes <= limit).all()


def test_missing_regions_score_nothing_and_change_nothing():
    model = network().eval()
    features = seeded(1, 128, 4, 6).relu()
    regions = boxes_in(SIZE, 5).unsqueeze(0)
    padded = torch.cat([regions, torch.zeros(1, 3, 4)], dim=1)
    found = torch.tensor([[True] * 5 + [False] * 3])
    with torch.no_grad():
        alone = detections(*model.classify(features, regions), regions, SIZE, found[:, :5])
        among = detections(*model.classify(features, padded), padded, SIZE, found)
    assert torch.allclose(among[0][:, :15], alone[0], atol=1e-4)
    assert torch.allclose(among[1][:, :15], alone[1], atol=1e-6)
    assert not among[1][:, 15:].any()


def test_pictures_of_a_batch_do_not_see_one_another():
    model = network().eval()
    images = noise(2, 96, 64)
    with torch.no_grad():
        boxes, scores = model(images)
        for b in range(2):
            alone = model(images[b : b + 1])
            assert torch.allclose(alone[0][0], boxes[b], atol=1e-3)
            assert torch.allclose(alone[1][0], scores[b], atol=1e-5)


@pytest.mark.slow
def test_it_overfits_four_pictures():
    torch.manual_seed(0)
    settings = RegionSettings(scales=(16.0, 32.0, 64.0), before=300, proposals=100, tested=50, regions=32)
    model = FasterRCNN(LiteTrunk.pretrained(), 3, settings)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    images = torch.full((4, 3, 96, 96), 90.0)
    truths = []
    for b, rows in enumerate(
        ([(10, 20, 50, 60, 0)], [(40, 40, 90, 90, 2)], [(6, 8, 46, 44, 1), (50, 50, 84, 90, 0)], [(30, 4, 62, 70, 1)])
    ):
        for x1, y1, x2, y2, c in rows:
            images[b, c, y1:y2, x1:x2] = 250
        truths.append(truth(*rows))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 5e-4 if step < 45 else 5e-5
        loss = model.losses(images, truths)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    with torch.no_grad():
        boxes, scores = (v.numpy() for v in model(images))
    found = []
    for b in range(4):
        best, classes = scores[b].max(1), scores[b].argmax(1)
        keep = nms_per_class(boxes[b], best, classes, 0.45)
        found.append(Predictions(boxes[b][keep], best[keep], classes[keep]))
    real = [Truth(t.boxes.numpy(), t.classes.numpy(), t.ignore.numpy()) for t in truths]
    assert average_precision(found, real, 3, threshold=0.5).tolist() == [1.0, 1.0, 1.0]
