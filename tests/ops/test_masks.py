"""Compact masks against whole planes, against torchvision's pasting, and against pycocotools."""

import numpy as np
import pytest
import torch
import torchvision_here  # noqa: F401
from pycocotools import mask as coco
from torchvision.models.detection.roi_heads import paste_masks_in_image

from watchline.errors import WatchlineError
from watchline.ops.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def blobs(seed: int, count: int = 6, height: int = 40, width: int = 50, share: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    planes = np.zeros((count, height, width), bool)
    for plane in planes:
        x1, x2 = sorted(rng.integers(0, width + 1, 2).tolist())
        y1, y2 = sorted(rng.integers(0, height + 1, 2).tolist())
        plane[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < share
    return planes


SHAPES = {
    "blobs": blobs(0),
    "thick": blobs(1, share=0.97),
    "nothing": np.zeros((2, 7, 5), bool),
    "everything": np.ones((2, 7, 5), bool),
    "no objects": np.zeros((0, 7, 5), bool),
    "corners": np.eye(4, dtype=bool)[None],
    "full columns": np.repeat((np.arange(9) % 4 > 1)[None, None], 6, axis=1),
    "large": blobs(3, 2, 700, 900, 0.999),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def dense(request):
    return request.param


def test_dense_and_back(dense):
    masks = Masks.of(dense)
    assert len(masks) == len(dense)
    assert masks.size == dense.shape[1:]
    np.testing.assert_array_equal(masks.dense(), dense)
    assert masks.area.tolist() == dense.sum((1, 2)).tolist()
    assert all(crop.base is not None for *_, crop in masks)


def test_run_lengths_are_those_of_pycocotools(dense):
    ours = Masks.of(dense).to_rle()
    theirs = coco.encode(np.asfortranarray(dense.transpose(1, 2, 0).astype(np.uint8))) if len(dense) else []
    assert ours == [{"size": one["size"], "counts": one["counts"].decode()} for one in theirs]
    if ours:
        np.testing.assert_array_equal(coco.decode(ours).transpose(2, 0, 1).astype(bool), dense)
    back = Masks.from_rle(ours, dense.shape[1:])
    np.testing.assert_array_equal(back.dense(), dense)
    assert back.extent.tolist() == Masks.of(dense).extent.tolist()


def test_run_lengths_as_bytes_and_as_numbers():
    planes = np.zeros((1, 3, 4), bool)
    planes[0, :, 1] = planes[0, 0, 2] = True
    numbers = [3, 4, 5]
    for counts in (numbers, coco.frPyObjects({"size": [3, 4], "counts": numbers}, 3, 4)["counts"]):
        np.testing.assert_array_equal(Masks.from_rle([{"size": [3, 4], "counts": counts}]).dense(), planes)


@pytest.mark.parametrize(
    "rows",
    [np.arange(6) % 2 == 0, [4, 1], np.array([], np.int64), slice(2, 5), 3, -1, [False] * 6, np.int64(2)],
    ids=str,
)
def test_rows(rows):
    planes = blobs(5)
    expected = planes[[rows] if isinstance(rows, int | np.integer) else rows]
    np.testing.assert_array_equal(Masks.of(planes)[rows].dense(), expected)


@pytest.mark.parametrize("rows", [6, [0, 6], np.array([True])], ids=str)
def test_rows_that_are_not_there(rows):
    with pytest.raises(IndexError):
        Masks.of(blobs(5))[rows]


@pytest.mark.parametrize("side", [14, 28])
def test_soft_masks_are_pasted_as_torchvision_does(side):
    rng = np.random.default_rng(side)
    height, width = 90, 120
    corner = rng.uniform(-30, 80, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(35, 50, (40, 2))], axis=1).astype(np.float32)
    boxes[0] = (3, 4, 3, 4)  # no area
    soft = torch.nn.functional.avg_pool2d(torch.from_numpy(rng.random((40, side, side), np.float32)), 5, 1, 2)
    pasted = paste_masks_in_image(soft[:, None], torch.from_numpy(boxes), (height, width))[:, 0].numpy()
    ours = Masks.from_boxes(boxes, soft.numpy(), (height, width)).dense()
    unsure = np.abs(pasted - 0.5) < 1e-5  # as rounding has it
    assert unsure.mean() < 1e-3
    np.testing.assert_array_equal(ours | unsure, (pasted >= 0.5) | unsure)
    assert 0.02 < ours.mean() < 0.95


def test_a_box_of_any_size_costs_a_picture_at_most():
    boxes = np.array([[-1e9, -1e9, 1e9, 1e9], [0, 0, 1e30, 5], [500, 500, 600, 700], [-9, -9, -8, -8]], np.float32)
    masks = Masks.from_boxes(boxes, np.ones((4, 28, 28), np.float32), (30, 20))
    assert masks.bits.size <= 2 * 30 * 20
    assert masks.area[[0, 2, 3]].tolist() == [30 * 20, 0, 0]
    assert len(Masks.from_boxes(np.empty((0, 4), np.float32), np.empty((0, 28, 28), np.float32), (30, 20))) == 0


EXTENT = np.array([[1, 2, 3, 4]], np.int32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (((0, 5), EXTENT, np.ones(4, bool)), r"masks of a picture of 0 x 5"),
        (((5, 70_000), EXTENT, np.ones(4, bool)), r"masks of a picture of 5 x 70000"),
        (((5, 5), EXTENT[:, :3], np.ones(4, bool)), r"extent is int32 \(1, 3\): expected int32 \(N, 4\)"),
        (((5, 5), EXTENT.astype(np.float32), np.ones(4, bool)), r"extent is float32 \(1, 4\): expected int32"),
        (((3, 5), EXTENT, np.ones(4, bool)), r"extent has a crop outside of the picture, 3 x 5"),
        (((5, 5), -EXTENT, np.ones(4, bool)), r"extent has a crop outside"),
        (((5, 5), EXTENT[:, ::-1], np.ones(4, bool)), r"extent has a crop outside"),
        (((5, 5), EXTENT, np.ones(5, bool)), r"bits is bool \(5,\): expected bool \(4,\)"),
        (((5, 5), EXTENT, np.ones(4, np.uint8)), r"bits is uint8 \(4,\): expected bool \(4,\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(values, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        Masks(*values)
    assert isinstance(caught.value, WatchlineError)


@pytest.mark.parametrize("dense", [np.ones((4, 5), bool), np.ones((1, 4, 5), np.uint8)])
def test_planes_of_another_kind_are_refused(dense):
    with pytest.raises(ValueError, match=r"expected bool \(N, H, W\)"):
        Masks.of(dense)


@pytest.mark.parametrize(
    "counts", ["", "P", "5\x00", "9~~~~~~~~~~~~~", [3, 5], [-1, 13], "é", "12", [1 << 62, 1 << 62]], ids=repr
)
def test_run_lengths_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths") as caught:
        Masks.from_rle([{"size": [3, 4], "counts": counts}])
    assert isinstance(caught.value, WatchlineError)


def test_run_lengths_of_two_sizes_are_refused():
    rle = [*Masks.of(np.ones((1, 2, 3), bool)).to_rle(), *Masks.of(np.ones((1, 3, 3), bool)).to_rle()]
    with pytest.raises(ValueError, match="expected one size"):
        Masks.from_rle(rle)
