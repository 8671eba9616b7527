import math

import pytest
import torch

from watchline.models.roi_pool import roi_pool


def slow(features, boxes, scale, size):
    """Fast R-CNN's layer in loops over regions, bins and cells, word for word."""
    height, width = features.shape[2:]
    out = torch.zeros(*boxes.shape[:2], features.shape[1], size, size)
    for b, k in torch.cartesian_prod(torch.arange(boxes.shape[0]), torch.arange(boxes.shape[1])).tolist():
        x1, y1, x2, y2 = (math.floor(float(v) * scale + 0.5) for v in boxes[b, k])
        w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
        for i in range(size):
            top, bottom = y1 + math.floor(i * h / size), y1 + math.ceil((i + 1) * h / size)
            for j in range(size):
                left, right = x1 + math.floor(j * w / size), x1 + math.ceil((j + 1) * w / size)
                cells = features[b, :, top : min(bottom, height), left : min(right, width)]
                if cells.numel():
                    out[b, k, :, i, j] = cells.amax((1, 2))
    return out


def random_boxes(count, width, height, seed):
    corners = torch.rand(2, count, 2, 2, generator=torch.Generator().manual_seed(seed))
    boxes = (corners * torch.tensor([width, height])).sort(dim=2).values.view(2, count, 4)
    boxes[:, 0] = torch.tensor([0.0, 0, width, height])  # the whole picture
    boxes[:, 1] = 0.0  # what stands for a missing region
    boxes[:, 2] = torch.tensor([width, height] * 2)  # the last corner: no cell is left
    boxes[:, 3, 2:] = torch.tensor([width, height])
    return boxes


@pytest.mark.parametrize(
    ("height", "width", "size", "why"),
    [
        (38, 38, 7, "VGG-16 at 608 pixels"),
        (9, 13, 7, "bins of one or two cells"),
        (20, 31, 7, "sides of different lengths"),
        (4, 3, 7, "more bins than cells"),
        (12, 12, 2, "bins of seven cells"),
        (33, 17, 1, "one bin, as long as the map"),
        (1, 1, 7, "a single cell"),
    ],
)
def test_it_is_the_paper_s_layer_bin_by_bin(height, width, size, why):
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))  # negative ones as well
    boxes = random_boxes(40, 16.0 * width, 16.0 * height, seed=height)
    assert torch.equal(roi_pool(features, boxes, 1 / 16, size), slow(features, boxes, 1 / 16, size)), why


def test_no_regions_and_no_pictures():
    assert roi_pool(torch.zeros(2, 3, 5, 5), torch.zeros(2, 0, 4), 1 / 16, 7).shape == (2, 0, 3, 7, 7)
    assert roi_pool(torch.zeros(0, 3, 5, 5), torch.zeros(0, 4, 4), 1 / 16, 7).shape == (0, 4, 3, 7, 7)


def test_the_gradient_goes_to_the_largest_cell_of_each_bin():
    features = torch.randn(1, 2, 11, 9, generator=torch.Generator().manual_seed(2))
    boxes = random_boxes(12, 144.0, 176.0, seed=3)[:1]
    weight = torch.randn(1, 12, 2, 3, 3, generator=torch.Generator().manual_seed(4))
    gradients = []
    for function in (roi_pool, slow):
        leaf = features.clone().requires_grad_()
        (function(leaf, boxes, 1 / 16, 3) * weight).sum().backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, atol=1e-6)
    assert gradients[0].abs().sum() > 0


def test_regions_of_a_picture_do_not_see_the_others():
    features = torch.stack([torch.zeros(1, 6, 6), torch.ones(1, 6, 6)])
    pooled = roi_pool(features, torch.tensor([[[0.0, 0, 96, 96]]]).expand(2, -1, -1), 1 / 16, 2)
    assert pooled.flatten(1).tolist() == [[0.0] * 4, [1.0] * 4]
