import cv2
import numpy as np
import pytest

from watchline.ops.voc import VOC
from watchline.train.kitti import BICYCLE, PERSON, kitti_cyclists, split_cyclist
from watchline.train.teachers import Labels

CYCLIST = np.array([20, 10, 60, 110], np.float32)


def labels(*rows):
    """Rows (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Labels(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_without_teachers_a_cyclist_is_parted_by_shares():
    person, bicycle = split_cyclist(CYCLIST, labels())
    assert person.tolist() == pytest.approx([20, 10, 60, 98])
    assert bicycle.tolist() == pytest.approx([20, 50, 60, 110])


def test_teachers_boxes_inside_are_taken_if_they_are_alike_and_sure():
    seen = labels((24, 12, 56, 95, 0.5, PERSON), (22, 55, 58, 109, 0.3, BICYCLE), (22, 60, 58, 109, 0.1, BICYCLE))
    person, bicycle = split_cyclist(CYCLIST, seen)
    assert person.tolist() == [24, 12, 56, 95]
    assert bicycle.tolist() == [22, 55, 58, 109]


def test_boxes_elsewhere_or_of_another_kind_are_not():
    seen = labels(
        (100, 10, 140, 110, 0.9, PERSON), (20, 10, 30, 20, 0.9, PERSON), (20, 50, 60, 110, 0.9, VOC.index("car"))
    )
    person, bicycle = split_cyclist(CYCLIST, seen)
    assert person.tolist() == pytest.approx([20, 10, 60, 98])
    assert bicycle.tolist() == pytest.approx([20, 50, 60, 110])


def test_pictures_have_voc_s_words_and_streets_are_open(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    names = ["Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "Partial"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    (tmp_path / "train.txt").write_text("000001\n")
    (tmp_path / "test.txt").write_text("000002\n")
    cv2.imwrite(str(tmp_path / "images" / "000001.jpg"), np.zeros((120, 200, 3), np.uint8))
    rows = [f"{i} 0.5 0.5 0.2 0.5" for i in range(9)]
    (tmp_path / "labels" / "000001.txt").write_text("\n".join(rows))
    [(sample, opened)] = kitti_cyclists(tmp_path, "train", lambda image: labels())
    words = [VOC[c] for c in sample.classes]
    assert words[:5] == ["car", "car", "car", "person", "person"]
    assert words[5:8] == ["person", "bicycle", "train"]
    assert sample.ignore.tolist() == [False] * 8 + [True] * 2  # Misc and Partial
    assert sample.boxes[0].tolist() == pytest.approx([80, 30, 120, 90])
    assert {VOC[c] for c in np.flatnonzero(opened)} == {"bicycle", "car", "motorbike", "person"}
