import cv2
import numpy as np
import pytest

from watchline.models.errors import DatasetError
from watchline.ops.coco import COCO, coco_to_voc
from watchline.ops.voc import VOC
from watchline.train import datasets


def picture(path, height=40, width=60, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def test_voc_boxes_become_half_open(tmp_path):
    picture(tmp_path / "JPEGImages" / "x.jpg")
    (tmp_path / "Annotations").mkdir()
    row = "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>"  # noqa: E501
    (tmp_path / "Annotations" / "x.xml").write_text(
        f"<annotation>{row.format('dog', 0)}{row.format('cat', 1)}</annotation>"
    )
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("x\n")
    [sample] = datasets.voc(tmp_path, "val")
    assert sample.boxes.tolist() == [[0, 0, 60, 40]] * 2  # the whole picture
    assert [VOC[c] for c in sample.classes] == ["dog", "cat"]
    assert sample.ignore.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotation>", "x.xml is no annotation: no element found.*; expected plain XML as VOC writes it"),
        (
            "<annotation><object><name>drone</name>{box}</object></annotation>",
            "x.xml: unknown class 'drone': expected one of aeroplane, .*; expected VOC's twenty classes",
        ),
        ("<annotation><object><name>dog</name></object></annotation>", "x.xml has the box xmin nothing.*four numbers"),
        ("<!DOCTYPE a []><annotation/>", "x.xml is no annotation: it has a DOCTYPE"),
    ],
)
def test_an_annotation_that_cannot_be_is_named(tmp_path, text, says):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("x\n")
    with pytest.raises(DatasetError, match=r"x\.xml is missing"):
        list(datasets.voc(tmp_path, "val"))
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>"
    (tmp_path / "Annotations" / "x.xml").write_text(text.format(box=box))
    with pytest.raises(DatasetError, match=says):
        list(datasets.voc(tmp_path, "val"))


def test_coco_names_fall_to_voc_s_and_the_rest_is_left_out(tmp_path):
    picture(tmp_path / "images" / "t" / "x.jpg", 100, 200)
    labels = tmp_path / "object_detection" / "labels" / "t"
    labels.mkdir(parents=True)
    (labels / "x.txt").write_text(f"{COCO.index('airplane')} 0.5 0.5 0.5 0.2\n{COCO.index('pizza')} 0.5 0.5 0.1 0.1\n")
    [sample] = datasets.coco_yolo(tmp_path, "t")
    assert [VOC[c] for c in sample.classes] == ["aeroplane"]
    assert sample.boxes[0].tolist() == pytest.approx([50, 40, 150, 60])


def test_every_voc_class_has_its_coco_classes():
    assert {VOC[c] for c in coco_to_voc().values()} == set(VOC)
    assert len(COCO) == 80


def test_a_pedestrian_s_box_is_the_extent_of_the_mask(tmp_path):
    picture(tmp_path / "images" / "x.png")
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 10:18] = 1
    mask[7:30, 30:50] = 2
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "x.png"), mask)
    [sample] = datasets.pennfudan(tmp_path)
    assert sample.boxes.tolist() == [[10, 5, 18, 20], [30, 7, 50, 30]]


@pytest.mark.parametrize("read", [lambda p: datasets.voc(p, "train"), lambda p: datasets.coco_yolo(p, "train"), datasets.pennfudan])  # fmt: skip # noqa: E501
def test_a_missing_set_is_named(read, tmp_path):
    with pytest.raises(DatasetError, match="is missing"):
        list(read(tmp_path / "nowhere"))
