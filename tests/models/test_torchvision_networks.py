"""Our networks against torchvision's own, with the same weights and photos: the same numbers come out."""

import pytest
import torch
from torchvision_here import detections, photos, seeded, tensor_of, torchvision

from watchline.models.faster_rcnn_fpn import (
    anchors,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
)
from watchline.models.fcn_resnet import FCNResNet
from watchline.models.mask_rcnn import maskrcnn_resnet50_fpn
from watchline.models.mobilenet_v3 import features
from watchline.models.ssd import PAPER, SSD300
from watchline.models.ssdlite import BOXES, SSDLite

DETECTORS = [
    # ours, torchvision's name, (width, height), pictures
    (
        fasterrcnn_resnet50_fpn,
        "fasterrcnn_resnet50_fpn",
        (160, 96),
        1,
    ),  # coarsest: 53 pixels a cell, not 64
    (fasterrcnn_mobilenet_v3_large_320_fpn, "fasterrcnn_mobilenet_v3_large_320_fpn", (320, 192), 2),
    (SSD300, "ssd300_vgg16", (300, 300), 1),
    (SSDLite, "ssdlite320_mobilenet_v3_large", (320, 320), 2),
]


def same(ours, theirs):
    """Both found the same. The order may differ where scores are equal but for rounding."""
    assert len(theirs["scores"]) > 50  # a network that finds nothing proves nothing
    assert theirs["scores"].std() > 1e-3
    assert len(ours["scores"]) == len(theirs["scores"])
    assert (ours["scores"] - theirs["scores"]).abs().max() < 1e-3
    far = torch.cdist(ours["boxes"], theirs["boxes"], p=torch.inf)  # pixels
    far[ours["labels"][:, None] != theirs["labels"]] = torch.inf
    partner = far.argmin(1)
    assert far.min(1).values.max() < 1e-3
    assert len(partner.unique()) == len(partner)
    assert (ours["scores"] - theirs["scores"][partner]).abs().max() < 1e-3
    return partner


def with_weights_of(network, model):
    state = {name: w for name, w in network.state_dict().items() if not name.startswith("aux_classifier")}
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize(("build", "arch", "size", "count"), DETECTORS, ids=[case[1] for case in DETECTORS])
def test_detectors_find_what_torchvisions_find(build, arch, size, count, bikes):
    pictures = photos(bikes, *size, count)
    network = seeded(arch, pictures, num_classes=21)
    model = with_weights_of(network, build(21))
    x = tensor_of(pictures)
    with torch.no_grad():
        expected = network(list(x))
        boxes, scores = model(network.transform(list(x))[0].tensors)
    for i in range(count):
        same(detections(network, boxes[i], scores[i]), expected[i])


def test_rows_of_faster_rcnn_are_meant_for_one_class(bikes):
    pictures = photos(bikes, 96, 64)
    network = seeded("fasterrcnn_mobilenet_v3_large_320_fpn", pictures, num_classes=4)
    model = with_weights_of(network, fasterrcnn_mobilenet_v3_large_320_fpn(4, [3, 1]))
    everything = with_weights_of(network, fasterrcnn_mobilenet_v3_large_320_fpn(4))
    x = network.transform(list(tensor_of(pictures)))[0].tensors
    with torch.no_grad():
        _, scores = model(x)
        _, all_scores = everything(x)
    assert scores.shape[2] == 2
    assert ((scores > 0).sum(-1) <= 1).all()
    for ours, column in ((0, 2), (1, 0)):  # the columns that were asked for, and none between them
        assert torch.allclose(
            scores[..., ours].sort(descending=True).values[:, :20],
            all_scores[..., column].sort(descending=True).values[:, :20],
        )


def test_masks_are_torchvisions(bikes):
    pictures = photos(bikes, 96, 64, 1)
    network = seeded("maskrcnn_resnet50_fpn", pictures, num_classes=21)
    model = with_weights_of(network, maskrcnn_resnet50_fpn(21))
    x, roi_heads = tensor_of(pictures), torchvision.models.detection.roi_heads
    with torch.no_grad():
        (expected,) = network(list(x))
        boxes, scores, masks = (out[0] for out in model(network.transform(list(x))[0].tensors))
    assert boxes.shape == (100, 4)
    assert masks.shape == (100, 28, 28)
    best, labels = scores.max(-1)
    real = best > 0
    ours = {"boxes": boxes[real], "scores": best[real], "labels": labels[real] + 1}
    partner = same(ours, expected)
    pasted = roi_heads.paste_masks_in_image(masks[real].unsqueeze(1), boxes[real], (64, 96))
    assert (pasted - expected["masks"][partner]).abs().max() < 1e-3
    assert expected["masks"].std() > 0.05


@pytest.mark.parametrize("depth", [50, 101])
def test_fcn_colours_pixels_as_torchvisions(depth, bikes):
    pictures = photos(bikes, 96, 72)
    network = seeded(f"fcn_resnet{depth}", pictures, aux_loss=True)
    model = with_weights_of(network, FCNResNet(depth, 21))
    with torch.no_grad():
        expected, got = network(tensor_of(pictures))["out"], model(tensor_of(pictures))
    assert got.shape == (2, 21, 72, 96)
    assert (got - expected).abs().max() < 1e-3
    assert torch.equal(got.argmax(1), expected.argmax(1))
    assert len(got.argmax(1).unique()) > 3


@pytest.mark.parametrize(("rows", "columns", "sizes"), [(4, 6, (32,)), (3, 3, (32, 64, 128, 256, 512))])
def test_anchors_are_torchvisions(rows, columns, sizes):
    generator = torchvision.models.detection.anchor_utils.AnchorGenerator((sizes,), ((0.5, 1.0, 2.0),))
    pictures = torchvision.models.detection.image_list.ImageList(torch.zeros(1, 3, 160, 192), [(160, 192)])
    (expected,) = generator(pictures, [torch.zeros(1, 1, rows, columns)])
    assert torch.equal(anchors(sizes, rows, columns, 192, 160), expected)


@pytest.mark.parametrize("table", [PAPER, BOXES], ids=["SSD", "SSDlite"])
def test_default_boxes_are_torchvisions(table):
    generator = torchvision.models.detection.anchor_utils.DefaultBoxGenerator(
        [list(r) for r in table.ratios], scales=list(table.scales), steps=table.steps and list(table.steps)
    )
    pictures = torchvision.models.detection.image_list.ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
    sides = (38, 19, 10, 5, 3, 1)
    (expected,) = generator(pictures, [torch.zeros(1, 1, side, side) for side in sides])
    got = torch.cat([table.grid(i, side, side, 300, 300) for i, side in enumerate(sides)])
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("reduced", [False, True])
def test_mobilenet_has_torchvisions_weights(reduced):
    theirs = torchvision.models.mobilenet_v3_large(weights=None, reduced_tail=reduced).features.state_dict()
    ours = features(reduced=reduced).state_dict()
    assert {name: w.shape for name, w in ours.items()} == {name: w.shape for name, w in theirs.items()}


def test_boxes_end_at_the_edge_of_the_picture(bikes):
    """As torchvision's, which pads pictures to multiples of 32: a proposal behind it would look at the padding."""
    pictures = photos(bikes, 250, 150)
    network = seeded("fasterrcnn_mobilenet_v3_large_320_fpn", pictures, num_classes=21)
    model = with_weights_of(network, fasterrcnn_mobilenet_v3_large_320_fpn(21))
    with torch.no_grad():
        expected = network(list(tensor_of(pictures)))
        padded = network.transform(list(tensor_of(pictures)))[0]
        extent = torch.tensor([size[::-1] for size in padded.image_sizes]).float()
        assert tuple(padded.tensors.shape[2:]) > padded.image_sizes[0]
        boxes, scores = model(padded.tensors, extent)
        uncut, _ = model(padded.tensors)
    assert (uncut[..., 2:] > extent[:, None]).any()  # else the picture's edge is nothing to end at
    for i in range(2):
        same(detections(network, boxes[i], scores[i]), expected[i])
