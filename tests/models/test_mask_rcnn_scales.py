"""Mask R-CNN at several scales, against a slow reference of NumPy."""

import numpy as np
import pytest
import torch
from small_nets import mask_rcnn as random_mask_rcnn

from watchline.models.mask_rcnn_lite import Candidates
from watchline.models.mask_rcnn_scales import SAME, SeveralScales, resized, scaled, voted
from watchline.ops.boxes import iou
from watchline.ops.nms import nms_per_class

SCALES = (0.5, 1.0, 1.5)


@pytest.fixture(scope="module")
def network():
    return random_mask_rcnn()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))


def slow_votes(boxes, labels, candidates, scores, classes):
    """Box voting, one box after the other."""
    found = []
    for box, label in zip(boxes, labels, strict=True):
        weights = scores * (classes == label) * (iou(box[None], candidates)[0] > SAME)
        found.append((weights[:, None] * candidates).sum(0) / weights.sum() if weights.sum() > 0 else box)
    return np.array(found)


def test_what_is_found_is_what_all_sizes_find_together(network, pictures):
    with torch.no_grad():
        boxes, scores, masks = SeveralScales(network, SCALES).detect(pictures)
        looks = {}
        for scale in SCALES:
            width, height = scaled((128, 96), scale)
            looks[width / 128, height / 96] = network.look(resized(pictures, (width, height)))
    for number in range(2):
        every, sure, classes = [], [], []
        for (across, down), look in looks.items():
            size = round(128 * across), round(96 * down)
            seen = network.candidates(look, size)
            every.append(seen.boxes[number].numpy() / np.array([across, down] * 2, np.float32))
            sure.append(seen.scores[number].numpy())
            classes.append(seen.labels.numpy())
        every, sure, classes = np.concatenate(every), np.concatenate(sure), np.concatenate(classes)
        best = np.argsort(-sure, kind="stable")[: 4 * 32 * len(SCALES)]
        best = best[sure[best] > 0.05]
        kept = best[nms_per_class(every[best], sure[best], classes[best], 0.5)][:32]
        assert len(kept) > 3
        row = scores[number].numpy().max(1) > 0
        np.testing.assert_allclose(scores[number].numpy().max(1)[row], sure[kept], atol=1e-5)
        np.testing.assert_array_equal(scores[number].numpy().argmax(1)[row], classes[kept])
        expected = slow_votes(every[kept], classes[kept], every, sure, classes)
        np.testing.assert_allclose(boxes[number].numpy()[row], expected, atol=1e-2)
        labels = scores.argmax(-1)
        each = [
            network.masks(look.fine, boxes * torch.tensor([across, down] * 2), labels).detach()
            for (across, down), look in looks.items()
        ]
        np.testing.assert_allclose(
            masks[number].numpy()[row], torch.stack(each).mean(0)[number].numpy()[row], atol=1e-4
        )


def test_a_class_has_no_vote_in_another_s_box():
    candidates = Candidates(
        torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 11], [50, 50, 60, 60]]]),
        torch.tensor([[0.75, 0.25, 0.9, 0.9]]),
        torch.tensor([0, 0, 1, 0]),
    )
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 0, 0]]])
    found = voted(boxes, torch.tensor([[0, 0]]), candidates)
    torch.testing.assert_close(found, torch.tensor([[[0.25, 0, 10.25, 10], [0, 0, 0, 0]]]))


def test_sizes_are_multiples_of_the_stride():
    assert scaled((512, 448), 0.75) == (384, 320)  # 336 is no multiple of 32
    assert scaled((64, 32), 0.25) == (32, 32)
