"""R-CNN: warped regions against a slow warp, features that depend on their region alone, margins as scores."""

import numpy as np
import pytest
import torch
from regions import boxes_in, noise

from watchline.models.efficientnet_lite import normalise
from watchline.models.rcnn import CONTEXT, FEATURES, RCNN, SIDE, score, warp

SIZE = (96, 64)  # width, height
CONF = 0.25  # the detectors' default threshold


def slowly(plane, box):
    """A warped region of a plane (H, W), point by point: bilinear, with context, 0 outside."""
    height, width = plane.shape
    x1, y1, x2, y2 = box
    share = CONTEXT / (1 - 2 * CONTEXT)
    left, upper = x1 - share * (x2 - x1), y1 - share * (y2 - y1)
    w, h = max((x2 - x1) * (1 + 2 * share), 1), max((y2 - y1) * (1 + 2 * share), 1)
    warped = np.zeros((SIDE, SIDE))
    for i, j in np.ndindex(SIDE, SIDE):
        x, y = (
            left + (j + 0.5) * w / SIDE - 0.5,
            upper + (i + 0.5) * h / SIDE - 0.5,
        )  # in pixels from the first's centre
        if not (-1 <= x <= width and -1 <= y <= height):
            continue
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        u, v = min(int(x), width - 2), min(int(y), height - 2)
        for dy, dx in np.ndindex(2, 2):
            warped[i, j] += plane[v + dy, u + dx] * (1 - abs(x - u - dx)) * (1 - abs(y - v - dy))
    return warped


def test_a_region_is_warped_with_its_context():
    images = normalise(noise(1, *SIZE))
    boxes = torch.tensor([[[10.0, 8, 60, 40], [0, 0, 96, 64], [70, 50, 96, 64], [30, 30, 30, 30]]])
    crops = warp(images, boxes)
    assert crops.shape == (1, 4, 3, SIDE, SIDE)
    for box, crop in zip(boxes[0].tolist(), crops[0], strict=True):
        assert np.abs(crop[1].numpy() - slowly(images[0, 1].numpy(), box)).max() < 1e-3


def test_a_warp_of_a_ramp_has_the_coordinates():
    """A picture whose pixels are the coordinates of their centres: a warp's are those of its points."""
    across, down = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(80) + 0.5, indexing="xy")
    [[crop]] = warp(torch.stack([across, down])[None], torch.tensor([[[20.0, 16, 70, 60]]]))
    share, at = CONTEXT / (1 - 2 * CONTEXT), (torch.arange(SIDE) + 0.5) / SIDE
    x, y = (low - share * side + at * side * (1 + 2 * share) for low, side in ((20, 50), (16, 44)))
    assert torch.allclose(crop[0], x.repeat(SIDE, 1), atol=1e-3)
    assert torch.allclose(crop[1], y[:, None].repeat(1, SIDE), atol=1e-3)


def test_so_much_of_what_is_around_it_as_the_paper_has():
    """16 of 227 pixels on each side: a white region on black has white from there on."""
    image = torch.zeros(1, 1, 200, 200)
    image[..., 50:150, 50:150] = 1
    [[[crop]]] = warp(image, torch.tensor([[[50.0, 50, 150, 150]]]))
    assert (crop[SIDE // 2] > 0.5).nonzero()[:, 0][0] == pytest.approx(16 / 227 * SIDE, abs=1.1)


def test_a_region_s_features_and_rows_are_its_own():
    torch.manual_seed(0)
    model = RCNN(3).eval()
    images, proposals = noise(2, *SIZE), torch.stack([boxes_in(SIZE, 3), boxes_in(SIZE, 3, seed=4)])
    with torch.no_grad():
        features = model.features(images, proposals)
        alone = model.features(images[1:], proposals[1:, 2:])
        boxes, scores = model(images, proposals)
        margins = model.svm(features)
    assert features.shape == (2, 3, FEATURES)
    assert torch.allclose(features[1, 2], alone[0, 0], atol=1e-4 * float(alone.abs().max()))
    assert boxes.shape == (2, 9, 4)
    assert sorted(scores[0].amax(-1).tolist()) == pytest.approx(sorted(score(margins[0]).flatten().tolist()), abs=1e-5)


def test_scores_part_at_the_default_threshold_as_the_svms_do():
    """What is on a negative's margin is far below the threshold, what an SVM takes for an object is above it."""
    margins = torch.linspace(-3, 3, 61)
    scores = score(margins)
    assert (scores.diff() > 0).all()
    assert scores[margins <= -1].max() < CONF / 5
    assert CONF <= scores[margins >= -1e-6].min() < CONF + 0.05
