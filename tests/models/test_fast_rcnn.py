"""Fast R-CNN: its mini-batch, its loss term by term, what comes out, and ten pictures by heart."""

import math

import numpy as np
import pytest
import reference
import torch
from regions import boxes_in, noise, seeded, smooth_l1, truth

from watchline.models import fast_rcnn
from watchline.models.boxes import encode
from watchline.models.fast_rcnn import UNUSED, FastRCNN, Sampling, detections, roi_losses, sample_regions
from watchline.models.lite_trunk import LiteTrunk
from watchline.ops.average_precision import Predictions, Truth, average_precision
from watchline.ops.nms import nms_per_class

SIZE = (96, 64)  # width, height


def test_regions_are_objects_from_half_an_overlap_on():
    sampling = Sampling(regions=60, share=0.5, least=0.0)
    found = truth((10, 10, 50, 50, 3), (60, 20, 90, 60, 7), (0, 40, 30, 64, 5), ignore=[2])
    proposals = torch.cat([boxes_in(SIZE, 40), found.boxes[:2] + torch.tensor([3.0, -2, 4, 1]), found.boxes[2:] + 1])
    regions, classes, goals = sample_regions(proposals, found, sampling)
    drawn = {tuple(r): (int(c), g) for r, c, g in zip(regions.tolist(), classes, goals, strict=True) if c != UNUSED}
    real = found.boxes[:2].tolist()
    for candidate in [*proposals.tolist(), *real]:
        overlaps = [reference.iou(candidate, g) for g in real]
        best = overlaps.index(max(overlaps))
        if max(overlaps) >= 0.5:
            label, goal = drawn.pop(tuple(candidate))
            assert label == found.classes[best] + 1
            assert torch.allclose(goal, encode(torch.tensor(real[best]), torch.tensor(candidate), (10.0, 5.0)))
        elif reference.iou(candidate, found.boxes[2].tolist()) >= 0.5:
            assert tuple(candidate) not in drawn
        else:
            label, goal = drawn.pop(tuple(candidate))
            assert label == 0
            assert not goal.any()
    assert not drawn
    assert int((classes == UNUSED).sum()) == 60 - 44  # 45 candidates, of which one lies on what is ignored


def test_at_most_a_quarter_of_the_regions_are_objects():
    found = truth((10, 10, 50, 50, 3))
    near = found.boxes + torch.rand(100, 4, generator=torch.Generator().manual_seed(0))
    far = torch.tensor([70.0, 40, 90, 60]) + torch.rand(100, 4)
    regions, classes, _ = sample_regions(torch.cat([near, far]), found, Sampling(regions=16, least=0.0))
    assert regions.shape == (16, 4)
    assert (classes[:4] == 4).all()
    assert (classes[4:] == 0).all()


def test_the_loss_is_equation_1_term_by_term():
    logits, moves, goals = seeded(2, 9, 4) * 3, seeded(2, 9, 3, 4, seed=1) * 2, seeded(2, 9, 4, seed=2)
    classes = torch.randint(-1, 4, (2, 9), generator=torch.Generator().manual_seed(3))
    assert {-1, 0, 1, 2, 3} == set(classes.flatten().tolist())
    losses = roi_losses(logits, moves, classes, goals)
    log_loss = distance = used = 0.0
    for b, i in np.ndindex(2, 9):
        c = int(classes[b, i])
        if c == UNUSED:
            continue
        used += 1
        log_loss += math.log(sum(math.exp(float(v)) for v in logits[b, i])) - float(logits[b, i, c])
        if c > 0:
            distance += sum(smooth_l1(float(moves[b, i, c - 1, j] - goals[b, i, j])) for j in range(4))
    assert float(losses["roi class"]) == pytest.approx(log_loss / used, rel=1e-5)
    assert float(losses["roi box"]) == pytest.approx(distance / used, rel=1e-5)


def test_detections_are_pairs_of_a_region_and_a_class(monkeypatch):
    monkeypatch.setattr(fast_rcnn, "MOST", 7)
    logits, moves = seeded(2, 6, 4) * 2, seeded(2, 6, 3, 4, seed=1)
    regions = torch.stack([boxes_in(SIZE, 6), boxes_in(SIZE, 6, seed=5)])
    boxes, scores = detections(logits, moves, regions, SIZE)
    for b in range(2):
        pairs = []
        for k, c in np.ndindex(6, 3):
            odds = [math.exp(float(v)) for v in logits[b, k]]
            (x1, y1, x2, y2), (tx, ty, tw, th) = regions[b, k].tolist(), moves[b, k, c].tolist()
            w, h = (x2 - x1) * math.exp(tw / 5), (y2 - y1) * math.exp(th / 5)
            x, y = (x1 + x2) / 2 + tx / 10 * (x2 - x1), (y1 + y2) / 2 + ty / 10 * (y2 - y1)
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            pairs.append(
                (odds[c + 1] / sum(odds), c, [min(max(v, 0), m) for v, m in zip(corners, SIZE * 2, strict=True)])
            )
        for row, (score, c, box) in enumerate(sorted(pairs, reverse=True)[:7]):
            assert scores[b, row].tolist() == pytest.approx([score if i == c else 0.0 for i in range(3)], abs=1e-6)
            assert boxes[b, row].tolist() == pytest.approx(box, abs=1e-3)


def test_of_equal_scores_the_better_region_s_comes_first():
    """Pooling rounds neighbours to the same cells; in whose order they come decides which one is shown."""
    regions = boxes_in(SIZE, 300).unsqueeze(0)
    boxes, scores = detections(torch.zeros(1, 300, 2), torch.zeros(1, 300, 1, 4), regions, SIZE)
    assert (scores == 0.5).all()
    assert torch.allclose(boxes, regions.clamp(max=torch.tensor([*SIZE, *SIZE])), atol=1e-4)


def test_background_overlaps_an_object_a_little():
    found = truth((10, 10, 50, 50, 3))
    apart, little, half = (torch.tensor([[x, 10.0, x + 40, 50]]) for x in (56.0, 35.0, 18.0))  # IoU 0, 0.23, 0.67
    regions, classes, _ = sample_regions(torch.cat([apart, little, half]), found, Sampling(regions=8, share=0.5))
    drawn = sorted((int(c), r) for c, r in zip(classes, regions.tolist(), strict=True) if c != UNUSED)
    assert drawn == [(0, little[0].tolist()), (4, [10, 10, 50, 50]), (4, half[0].tolist())]


@pytest.mark.parametrize("term", ["roi class", "roi box"])
def test_each_term_has_the_gradient_that_differences_have(term):
    logits, moves = (
        seeded(1, 6, 4).double().requires_grad_(),
        (seeded(1, 6, 3, 4, seed=1).double() * 2).requires_grad_(),
    )
    goals = seeded(1, 6, 4, seed=2).double()
    classes = torch.tensor([[0, 1, 3, UNUSED, 2, 0]])
    assert torch.autograd.gradcheck(lambda a, b: roi_losses(a, b, classes, goals)[term], (logits, moves))


def network(classes=3, hidden=32):
    torch.manual_seed(0)
    return FastRCNN(LiteTrunk(hidden), classes, Sampling(regions=16))


def test_every_parameter_has_a_gradient_and_the_loss_begins_at_chance():
    model = network().train()
    truths = [truth((10, 8, 60, 40, 1), (50, 30, 90, 60, 0)), truth((20, 4, 50, 62, 2))]
    proposals = [boxes_in(SIZE, 30), boxes_in(SIZE, 20, seed=1)]  # as many as there are
    losses = model.losses(model.features(noise(2, 96, 64)), proposals, truths)
    assert list(losses) == ["loss", "roi class", "roi box"]
    assert float(losses["roi class"].detach()) == pytest.approx(math.log(4), abs=0.15)
    losses["loss"].backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_region_s_result_depends_on_no_other_region_and_no_other_picture():
    model = network().eval()
    images, proposals = noise(2, 96, 64), torch.stack([boxes_in(SIZE, 12), boxes_in(SIZE, 12, seed=3)])
    with torch.no_grad():
        logits, moves = model.classify(model.features(images), proposals)
        for b in range(2):
            alone = model.classify(model.features(images[b : b + 1]), proposals[b : b + 1, 5:7])
            assert torch.allclose(alone[0][0], logits[b, 5:7], atol=1e-4)
            assert torch.allclose(alone[1][0], moves[b, 5:7], atol=1e-5)
        boxes, scores = model(images, proposals)
    assert boxes.shape == (2, 36, 4)
    assert scores.shape == (2, 36, 3)


@pytest.mark.slow
def test_it_learns_ten_pictures_by_heart():
    torch.manual_seed(0)
    model = FastRCNN(LiteTrunk.pretrained(), 3, Sampling(regions=32))
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    rng = np.random.default_rng(0)
    images, truths, proposals = torch.full((10, 3, 96, 96), 90.0), [], []
    for b in range(10):
        (x, y), (w, h), c = rng.integers(4, 40, 2).tolist(), rng.integers(28, 50, 2).tolist(), b % 3
        images[b, c, y : y + h, x : x + w] = 250
        truths.append(truth((x, y, x + w, y + h, c)))
        near = torch.tensor([x, y, x + w, y + h]) + seeded(20, 4, seed=b) * 6
        proposals.append(torch.cat([near, boxes_in((95, 95), 30, seed=b)]).clamp(0, 96))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for step in range(50):
        optimizer.param_groups[0]["lr"] = 5e-4 if step < 38 else 5e-5
        loss = model.losses(model.features(images), proposals, truths)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    with torch.no_grad():
        boxes, scores = (v.numpy() for v in model(images, torch.stack(proposals)))
    found = []
    for b, s in zip(boxes, scores, strict=True):
        best, classes = s.max(1), s.argmax(1)
        keep = nms_per_class(b, best, classes, 0.3, 1000)
        found.append(Predictions(b[keep], best[keep], classes[keep]))
    real = [Truth(t.boxes.numpy(), t.classes.numpy(), t.ignore.numpy()) for t in truths]
    assert average_precision(found, real, 3).min() > 0.95
