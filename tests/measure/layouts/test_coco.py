"""COCO's layout: boxes, crowds, areas and masks as its JSON has them, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.known import open_data
from watchline.ops.masks import Masks

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def folder(tmp_path):
    """Three photos, of which the JSON names two, not in the order of their ids; one has no objects."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    for name in ("x.png", "y.png", "unlisted.png"):
        cv2.imwrite(str(tmp_path / "val2017" / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    plane = np.zeros((1, HEIGHT, WIDTH), np.bool_)
    plane[:, 5:35, 20:35] = True
    rle = Masks.of(plane).to_rle()[0]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH - 50, 50]}
    objects = [
        thing(7, 1, [2, 3, 10, 27], [[2, 3, 12, 3, 12, 30, 2, 30]], area=260.5),
        thing(7, 1, [20, 5, 15, 30], rle),
        thing(7, 3, [58, 0, 2, 40], crowd, iscrowd=1),
    ]
    write(tmp_path, [{"id": 9, "file_name": "y.png"}, {"id": 7, "file_name": "x.png"}], objects)
    return tmp_path


def thing(picture, category, bbox, segmentation, **more):
    return {"image_id": picture, "category_id": category, "bbox": bbox, "segmentation": segmentation, **more}


def write(folder, images, objects, name="instances_val2017"):
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "kite"}]
    listing = {"images": images, "annotations": objects, "categories": categories}
    (folder / "annotations" / f"{name}.json").write_text(json.dumps(listing))


def test_pictures_come_with_their_objects_in_the_order_of_their_ids(folder):
    data = open_data(folder)
    assert (data.layout, data.split, data.rule, data.count) == ("COCO", "val2017", "coco", 2)
    full, empty = data.read()
    assert (full.name, empty.name) == ("x", "y")
    assert full.boxes.tolist() == [[2, 3, 12, 30], [20, 5, 35, 35], [58, 0, 60, 40]]
    assert full.boxes.dtype == np.float32
    assert full.names == ("person", "person", "kite")
    assert full.difficult.tolist() == [False, False, True]
    assert full.areas.tolist() == [260.5, 450, 80]  # that of the JSON, else of the box
    assert full.masks().area.tolist() == [270, 450, 50]
    assert empty.boxes.shape == (0, 4)
    assert [picture.name for picture in open_data(folder, every=2).read()] == ["x"]


def test_photos_may_be_in_folders(folder):
    (folder / "val2017" / "day").mkdir()
    (folder / "val2017" / "x.png").rename(folder / "val2017" / "day" / "x.png")
    write(folder, [{"id": 7, "file_name": "day/x.png"}], [])
    assert [picture.name for picture in open_data(folder).read()] == ["day/x"]


def test_the_json_itself_may_be_named_and_photos_may_be_in_images(folder):
    (folder / "images").mkdir()
    (folder / "val2017").rename(folder / "images" / "val2017")
    data = open_data(folder / "annotations" / "instances_val2017.json")
    assert [picture.name for picture in data.read()] == ["x", "y"]
    assert data.name == folder.name


@pytest.mark.parametrize(
    ("objects", "says"),
    [
        ([thing(7, 2, [0, 0, 1, 1], [])], r"x.png has an object that cannot be \(KeyError\(2\)\)"),
        ([thing(7, 1, [0, 0, -1, 1], [])], "expected x, y, width and height in pixels"),
        ([thing(7, 1, [0, 0, 1], [])], "has an object that cannot be"),
        ([thing(7, 1, [0, 0, 1e9, 1], [])], "expected x, y, width and height in pixels"),
        ([thing(8, 1, [0, 0, 1, 1], [])], r"it is not COCO's list of instances \(KeyError\(8\)\)"),
    ],
)
def test_objects_that_cannot_be_are_refused(folder, objects, says):
    write(folder, [{"id": 7, "file_name": "x.png"}], objects)
    with pytest.raises(DataRefused, match=says):
        list(open_data(folder).read())


def test_a_photo_that_its_exif_rotates_is_not_measured_against_boxes_that_are_not(folder):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "val2017" / "x.jpg", exif=exif)
    image = {"id": 7, "file_name": "x.jpg", "width": WIDTH, "height": HEIGHT}
    write(folder, [image], [])
    with pytest.raises(DataRefused, match=r"x\.jpg with 60 x 40 pixels, the photo has 40 x 60 upright; is its EXIF"):
        list(open_data(folder).read())
    write(folder, [image | {"width": HEIGHT, "height": WIDTH}], [])
    assert [picture.image.shape for picture in open_data(folder).read()] == [(WIDTH, HEIGHT, 3)]


def test_folders_of_roboflow_are_known(folder):
    (folder / "valid").mkdir()
    (folder / "annotations" / "instances_val2017.json").rename(folder / "valid" / "_annotations.coco.json")
    for name in ("x.png", "y.png"):
        (folder / "val2017" / name).rename(folder / "valid" / name)
    for data in (open_data(folder), open_data(folder / "valid" / "_annotations.coco.json")):
        assert (data.split, data.name) == ("valid", folder.name)
        assert [picture.name for picture in data.read()] == ["x", "y"]


def test_polygons_that_cannot_be_are_refused(folder):
    write(folder, [{"id": 7, "file_name": "x.png"}], [thing(7, 1, [0, 0, 1, 1], [[1, 2, 3]])])
    [picture] = open_data(folder).read()
    with pytest.raises(DataRefused, match="polygons of six numbers or more"):
        picture.masks()


def test_what_is_missing_is_named(folder):
    write(folder, [{"id": 7, "file_name": "gone.png"}], [])
    with pytest.raises(DataNotFound, match=r"gone.png is missing: .*instances_val2017.json names it"):
        list(open_data(folder).read())
    for name in ("../x.png", "/etc/x.png", "", "a\0b"):
        write(folder, [{"id": 7, "file_name": name}], [])
        with pytest.raises(DataRefused, match="which leads out of the folder"):
            open_data(folder)
    write(folder, [], [])
    with pytest.raises(DataRefused, match="lists no pictures"):
        open_data(folder)
    with pytest.raises(DataNotFound, match="has no split 'train': expected one of val2017"):
        open_data(folder, "train")
    (folder / "annotations" / "instances_val2017.json").write_text("[")
    with pytest.raises(DataRefused, match="it is not COCO's list of instances"):
        open_data(folder)
