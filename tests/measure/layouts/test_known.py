"""The folder's own files say in which layout it is; Penn-Fudan's is read."""

import cv2
import numpy as np
import pytest

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.known import LAYOUTS, open_data
from watchline.ops import penn_fudan


def test_a_folder_in_no_layout_hears_of_all(tmp_path):
    with pytest.raises(DataNotFound, match="it is in no layout that is known") as error:
        open_data(tmp_path)
    assert all(layout.EXPECTED in str(error.value) for layout in LAYOUTS)
    with pytest.raises(DataNotFound, match="there is no such folder"):
        open_data(tmp_path / "nowhere")


@pytest.fixture
def street(tmp_path, monkeypatch):
    """Three photos, of which two are the test; c has two people, one a single pixel."""
    monkeypatch.setattr(penn_fudan, "TESTED", 2)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name in "abc":
        plane = np.zeros((40, 60), np.uint8)
        if name == "c":
            plane[3:30, 2:12], plane[39, 59] = 1, 2
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), plane)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((40, 60, 3), np.uint8))
    return tmp_path


def test_a_box_is_the_extent_of_a_mask(street):
    data = open_data(street)
    assert (data.layout, data.split, data.rule) == ("Penn-Fudan", "test", "coco")
    empty, full = data.read()
    assert (empty.name, full.name) == ("b", "c")
    assert full.boxes.tolist() == [[2, 3, 12, 30], [59, 39, 60, 40]]
    assert full.masks().area.tolist() == [270, 1]
    assert [picture.name for picture in open_data(street, "train").read()] == ["a"]


def test_a_mask_that_is_missing_is_refused(street):
    (street / "masks" / "c.png").unlink()
    with pytest.raises(DataRefused, match=r"c\.png: expected a picture of one channel"):
        list(open_data(street).read())
