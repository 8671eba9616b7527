"""COCO's average precision of masks, on pictures whose answer is known by hand."""

import json
import sys

import cv2
import numpy as np
import pytest

from watchline.errors import WatchlineError
from watchline.measure import masked
from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.mask_ap import mask_ap, mask_ap_of
from watchline.ops import penn_fudan
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
HEIGHT, WIDTH = 40, 60
PEOPLE = [(2, 3, 12, 30), (20, 5, 35, 38), (40, 10, 58, 20)]  # boxes, which are also the masks


@pytest.fixture
def street(tmp_path, monkeypatch):
    """Penn-Fudan's layout: three photos, of which two are the test; the colour of a person is 40 times the number."""
    monkeypatch.setattr(penn_fudan, "TESTED", 2)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        plane = np.zeros((HEIGHT, WIDTH), np.uint8)
        for number, (x1, y1, x2, y2) in enumerate(PEOPLE[:count], 1):
            plane[y1:y2, x1:x2] = number
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), plane)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.repeat(40 * plane[..., None], 3, axis=2))
    return tmp_path


def finds(image, masks=True, share=1.0, labels=("car", "person")):
    """What is there, the mask cut to its upper part."""
    planes = [image[..., 0] == 40 * n for n in np.unique(image[..., 0] // 40).tolist() if n]
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in (cv2.boundingRect(p.astype(np.uint8)) for p in planes)])
    for plane, (_, y1, _, y2) in zip(planes, boxes, strict=True):
        plane[round(y1 + share * (y2 - y1)) :] = False
    n = len(planes)
    kept = Masks.of(np.stack(planes)) if masks else None
    return Detections(boxes.reshape(n, 4), np.linspace(0.9, 0.5, n), np.ones(n, int), labels, masks=kept)


def test_all_is_found(street):
    measured = mask_ap_of(finds, street)
    assert (measured.split, measured.pictures, measured.objects) == ("test", 2, {"person": 3})
    assert measured.boxes.ap == measured.masks.ap == measured.masks.ap50 == pytest.approx(1.0)
    assert measured.masks.per_class == {"person": pytest.approx(1.0)}
    assert mask_ap_of(finds, street, "train").objects == {"person": 3}
    assert measured.as_dict()["masks"]["ap"] == pytest.approx(1.0)


def test_a_mask_with_two_thirds_of_its_pixels_counts_up_to_an_iou_of_065(street):
    """Of the ten IoUs 0.50, 0.55, 0.60 and 0.65 are reached; boxes do not suffer."""
    measured = mask_ap_of(lambda image: finds(image, share=2 / 3), street)
    assert measured.boxes.ap == pytest.approx(1.0)
    assert measured.masks.ap == pytest.approx(0.4)
    assert (measured.masks.ap50, measured.masks.ap75) == (pytest.approx(1.0), 0.0)


def test_one_of_three_people(street):
    """Recalls up to a third have precision 1: 34 of 101."""

    def alone(image):
        found = finds(image)
        return found if len(found) == 1 else found[:0]

    measured = mask_ap_of(alone, street)
    assert measured.masks.ap == pytest.approx(34 / 101)


def test_a_model_without_masks_and_one_that_finds_nothing(street):
    measured = mask_ap_of(lambda image: finds(image, masks=False), street)
    assert measured.masks is None
    assert "masks" not in measured.as_dict()
    nothing = mask_ap_of(lambda image: finds(image)[:0], street)
    assert (nothing.boxes.ap, nothing.masks.ap) == (0.0, 0.0)


def test_coco_s_layout_is_the_same(street, tmp_path):
    """Polygons, run lengths and crowds; a class that the model does not know is left out."""
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    objects = []
    for number, (x1, y1, x2, y2) in enumerate(PEOPLE, 1):
        image[y1:y2, x1:x2] = 40 * number
        corners = [x1, y1, x2, y1, x2, y2, x1, y2]
        objects.append({"image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [corners]})
    plane = image[..., 0] == 80
    objects[1]["segmentation"] = Masks.of(plane[None]).to_rle()[0]
    objects[2] |= {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH - 50, 50]}}
    objects.append({"image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9]]})
    cv2.imwrite(str(folder / "val2017" / "x.png"), image)
    listing = {
        "images": [{"id": 7, "file_name": "x.png"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "kite"}],
        "annotations": objects,
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(listing))
    measured = mask_ap_of(lambda image: finds(image)[:2], folder)
    assert (measured.split, measured.objects, measured.unknown) == ("val2017", {"person": 2}, ("kite",))
    assert measured.masks.ap == pytest.approx(1.0)
    [picture] = masked.read(folder, "val2017")
    assert picture.masks.area[:2].tolist() == [270, 495]
    assert picture.crowd.tolist() == [False, False, True, False]
    for broken in ('{"images": []}', "[", json.dumps(listing | {"images": [{"id": 7, "file_name": "../x.png"}]})):
        (folder / "annotations" / "instances_val2017.json").write_text(broken)
        with pytest.raises(DataRefused, match="instances_val2017"):
            mask_ap_of(finds, folder)


def test_what_cannot_be_measured_is_told_in_a_line(street, tmp_path, monkeypatch):
    with pytest.raises(DataRefused, match="the model has no such class"):
        mask_ap_of(lambda image: finds(image, labels=("car", "bus")), street)
    with pytest.raises(DataNotFound, match="has no labelled masks"):
        mask_ap_of(finds, tmp_path / "images")
    with pytest.raises(DataNotFound, match="no split 'val': expected one of test, train"):
        mask_ap_of(finds, street, "val")
    (street / "masks" / "c.png").unlink()
    with pytest.raises(DataRefused, match=r"c\.png: expected a picture of one channel"):
        mask_ap_of(finds, street)
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(WatchlineError, match=r"pip install '\.\[coco\]'"):
        mask_ap(None, street)
