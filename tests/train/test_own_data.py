"""A user's own data: three layouts, one result, and every mistake named before anything is trained."""

import json
import shutil
from itertools import pairwise

import cv2
import numpy as np
import own_sets
import pytest
from PIL import Image

from watchline.models.errors import DatasetError
from watchline.train.own_data import dataset
from watchline.train.own_data.boxes import checked

SIX = own_sets.pictures(6)
TRAIN, VAL = dict(list(SIX.items())[:4]), dict(list(SIX.items())[4:])


def read(path):
    return dataset.read([path])


def lines(path):
    with pytest.raises(DatasetError) as caught:
        read(path)
    return str(caught.value).splitlines()


def only(path):
    """The one mistake that is named."""
    first, last = lines(path)
    assert last == f"{path}: 1 mistake in the data, nothing was trained"
    return first


@pytest.mark.parametrize("layout", own_sets.MAKERS)
def test_each_layout_gives_the_same_pictures_classes_and_boxes(layout, tmp_path):
    data = read(own_sets.MAKERS[layout](tmp_path, {"train": TRAIN, "val": VAL}))
    assert data.names == ("cup", "person")
    assert [file.path.stem for file in data.train] == list(TRAIN)
    assert [file.path.stem for file in data.val] == list(VAL)
    for file in (*data.train, *data.val):
        [(name, *box)] = SIX[file.path.stem]
        assert np.allclose(file.boxes, [box], atol=1e-4)
        assert file.boxes.dtype == np.float32
        assert [data.names[c] for c in file.classes] == [name]
        assert (file.size, file.ignore.tolist()) == ((80, 60), [False])
    assert data.notes == ()


def test_several_data_sets_are_one_and_classes_of_one_name_one_class(tmp_path):
    own_sets.coco(tmp_path / "coco", {"train": TRAIN}, ("person", "lamp", "cup"))
    own_sets.voc(tmp_path / "voc", {"train": {"10": [("fork", 10, 10, 40, 40), ("cup", 20, 20, 50, 50)]}, "val": VAL})
    data = dataset.read([tmp_path / "coco", tmp_path / "voc"])
    assert data.names == ("person", "cup", "fork")
    assert [[data.names[c] for c in one.classes] for one in data.train[3:]] == [["person"], ["fork", "cup"]]
    assert [one.path.stem for one in data.val] == list(VAL)


def test_a_folder_with_a_yaml_is_taken_as_the_yaml(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    assert [one.path for one in read(tmp_path).train] == [one.path for one in read(file).train]


@pytest.mark.parametrize(
    "text",
    [
        "path: .\ntrain: images/train\nval: images/val\nnames: {0: cup, 1: person}\nnc: 2\n",
        "train: [images/train]\nval: val.txt\nnames:\n- cup\n- person\n",
        "train: ../images/train\nval: ../images/val\nnames: [cup, person]\n",  # Roboflow's, of a folder below
        "names: [cup, person]\n",
    ],
)
def test_forms_of_a_yaml(text, tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    file.write_text(text)
    (tmp_path / "val.txt").write_text("./images/val/04.jpg\nimages/val/05.jpg\n")
    data = read(file)
    assert [one.path.stem for one in data.train] == list(TRAIN)
    assert [one.path.stem for one in data.val] == list(VAL)


def test_labels_without_a_folder_for_pictures_are_next_to_them(tmp_path):
    own_sets.photo(tmp_path / "photos" / "1.jpg", "1")
    own_sets.photo(tmp_path / "photos" / "2.jpg", "2")
    for name in ("1", "2"):
        (tmp_path / "photos" / f"{name}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "photos" / "readme.roboflow.txt").write_text("made by hand")
    (tmp_path / "data.yaml").write_text("train: photos\nnames: [cup]\n")
    data = read(tmp_path)
    assert np.allclose(data.train[0].boxes, [[30, 15, 50, 45]])


def test_the_extent_of_a_polygon_is_its_box(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    (tmp_path / "labels/train/00.txt").write_text("1 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n")
    [box] = read(tmp_path).train[0].boxes.tolist()
    assert box == [20, 15, 60, 45]


def test_a_picture_without_labels_is_background(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    (tmp_path / "labels/train/00.txt").unlink()
    data = read(tmp_path)
    assert len(data.train) == 4
    assert len(data.train[0].boxes) == 0


def test_roboflows_form_of_coco(tmp_path):
    own_sets.coco(tmp_path, {"train": TRAIN, "valid": VAL}, ("things", "cup", "person"))  # its first has no box
    for split in ("train", "valid"):
        shutil.move(tmp_path / f"annotations/instances_{split}.json", tmp_path / split / "_annotations.coco.json")
    data = read(tmp_path)
    assert data.names == ("cup", "person")
    assert data.notes == ("left out, as no training picture shows them: things",)
    assert [len(data.train), len(data.val)] == [4, 2]
    assert [data.names[c] for file in data.train for c in file.classes] == ["cup", "person"] * 2


def test_penn_fudans_masks_give_boxes_and_its_last_photos_are_for_tests(tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(55):
        own_sets.photo(tmp_path / f"images/{number:02}.jpg", f"{number % 9}")
        mask = np.zeros((60, 80), np.uint8)
        mask[10:30, 20 + number % 9 : 40] = 1
        mask[40:50, 5:9] = 3  # some numbers have no pixels
        cv2.imwrite(str(tmp_path / f"masks/{number:02}.png"), mask)
    data = read(tmp_path)
    assert data.names == ("person",)
    every = {one.path.stem: one for one in (*data.train, *data.val)}
    assert sorted(every) == ["00", "01", "02", "03", "04"]
    assert every["03"].boxes.tolist() == [[23, 10, 40, 30], [5, 40, 9, 50]]


def test_crowds_and_difficult_objects_are_ignored(tmp_path):
    own_sets.coco(tmp_path / "coco", {"train": TRAIN, "val": VAL})
    file = tmp_path / "coco/annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(content))
    own_sets.voc(tmp_path / "voc", {"train": TRAIN, "val": VAL})
    xml = tmp_path / "voc/Annotations/00.xml"
    xml.write_text(xml.read_text().replace("<bndbox>", "<difficult>1</difficult><bndbox>"))
    for name in ("coco", "voc"):
        assert [one.ignore.tolist() for one in read(tmp_path / name).train] == [[True], [False], [False], [False]]


@pytest.mark.parametrize("layout", own_sets.MAKERS)
def test_a_missing_picture_is_named(layout, tmp_path):
    path = own_sets.MAKERS[layout](tmp_path, {"train": TRAIN, "val": VAL})
    [photo] = tmp_path.rglob("02.jpg")
    photo.unlink()
    said = only(path)
    assert "02" in said
    assert ("the picture is missing" in said) == (layout != "yolo")
    assert ("has no picture" in said) == (layout == "yolo")


def test_a_picture_that_a_list_names_is_missing(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    (tmp_path / "list.txt").write_text("images/train/00.jpg\nimages/train/nowhere.jpg\n")
    file.write_text("train: list.txt\nval: images/val\nnames: [cup, person]\n")
    assert only(file) == f"{tmp_path}/images/train/nowhere.jpg: the picture is missing; add it, or remove its labels"


def test_a_picture_that_is_none_is_named(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    (tmp_path / "images/train/01.jpg").write_bytes(b"<html>not found</html>")
    assert only(tmp_path).startswith(f"{tmp_path}/images/train/01.jpg is not a picture that can be read")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2 0.5 0.5 0.2 0.2", "class 2 is unknown: expected 0 to 1, as many as there are names"),
        ("-1 0.5 0.5 0.2 0.2", "'-1 0.5 0.5 0.2 0.2': expected a class number and numbers in 0..1; correct it"),
        ("cup 0.5 0.5 0.2 0.2", "'cup 0.5 0.5 0.2 0.2': expected a class number"),
        ("0 0.5 0.5 0.2", "4 numbers: expected class, x, y, width and height, or a polygon"),
        ("0 0.5 nan 0.2 0.2", "nan is not in 0..1: expected shares of the picture's sides"),
        ("0 40 30 20 10", "40 is not in 0..1: expected shares of the picture's sides; divide by them"),
        ("0 0.5 0.5 0 0.2", "has no area: expected x1 < x2 and y1 < y2; remove it"),
        ("0 0.95 0.5 0.4 0.2", "box 60 24 92 36 (x1 y1 x2 y2 in pixels) is outside of its picture, 80 x 60"),
    ],
)
def test_a_line_that_cannot_be_is_named_with_its_file(line, says, tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    with (tmp_path / "labels/train/01.txt").open("a") as labels:
        labels.write(f"{line}\n")
    said = only(tmp_path)
    assert said.startswith(f"{tmp_path}/labels/train/01.txt line 2: ")
    assert says in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"category_id": 9}, "category_id 9 is unknown: expected one of 7, 14"),
        ({"category_id": [9]}, "category_id [9] is unknown"),
        ({"image_id": 5}, "image_id 5 is not one of its images; remove it"),
        ({"bbox": [1, 2, 3]}, "bbox is [1, 2, 3]: expected x, y, width, height"),
        ({"bbox": [1, 2, -3, 4]}, "has no area"),
        ({"bbox": [1, 2, float("nan"), 4]}, "bbox is [1, 2, nan, 4]: expected x, y, width, height"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox is [1, 2, inf, 4]: expected x, y, width, height"),
        ({"bbox": [10**400, 2, 3, 4]}, "bbox is [1000000000000"),
        ({"bbox": [1, 2, 3, -(10**400)]}, "in pixels, none beyond 1e+06; correct it"),
        ({"bbox": [70, 2, 30, 4]}, "is outside of its picture, 80 x 60"),
    ],
)
def test_an_annotation_of_coco_that_cannot_be_is_named(change, says, tmp_path):
    own_sets.coco(tmp_path, {"train": TRAIN, "val": VAL})
    file = tmp_path / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][2].update(change)
    file.write_text(json.dumps(content))
    said = only(tmp_path)
    assert said.startswith(f"{file} annotation 2: ")
    assert says in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<xmin>11.0<", "<xmin>nan<", "00.xml object 1: box nan 20 40 50: expected finite numbers"),
        ("<xmin>11.0<", "<xmin>55<", "00.xml object 1: box 54 20 40 50 (x1 y1 x2 y2) has no area"),
        ("<xmin>11.0<", "<xmin>-9<", "is outside of its picture, 80 x 60"),
        ("<width>80<", "<width>800<", "has 80 x 60 pixels, its labels are of 800 x 60"),
        ("<name>cup<", "<name> <", "has an object without a name"),
        ("<object>", "<objekt>", "is no annotation"),
    ],
)
def test_an_annotation_of_voc_that_cannot_be_is_named(old, new, says, tmp_path):
    own_sets.voc(tmp_path, {"train": TRAIN, "val": VAL})
    file = tmp_path / "Annotations/00.xml"
    file.write_text(file.read_text().replace(old, new))
    assert says in only(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("[cup, cup]", "classes 0 and 1 are both 'cup'; name each class once"),
        ("[cup, '']", "class 1 is ''; expected a class name"),
        ("{0: cup, 2: person}", "class 1 is None; expected a class name"),
        ("[]", "it holds no names"),
        ("[cup, person", "it is no YAML"),
        ("[cup, person]\nnc: 3", "nc is 3, and 2 names are there"),
        ("[cup, person]\nval: nowhere", "nowhere: it is missing: expected what"),
    ],
)
def test_wrong_names_in_a_yaml(names, says, tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN})
    file.write_text(f"train: images/train\nnames: {names}\n")
    assert says in "\n".join(lines(file))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path: *c\ntrain: images/train", "path is a list: expected text, the folder of the data; correct it"),
        ("train: *c", "train has a list: expected a folder, or a list of pictures; correct it"),
        ("train: {a: *c}", "train is a mapping: expected a folder, or a list of pictures; correct it"),
        ("train: images/train\nval: *c", "val has a list: expected a folder, or a list of pictures; correct it"),
        ("train: images/train\nnc: *c", "nc is a list: expected the number of the names; correct it"),
    ],
)
def test_a_yaml_that_grows_without_end_is_a_line_at_once(text, says, tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN})
    levels = "abcdefghijklmnopqrstuvwxyz"  # each ten times as large as the one before: 10**26 words, 10**9 of them at i
    laughs = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise(reversed(levels)))
    file.write_text(f"z: &z [lol]\n{laughs}{text}\nnames: [cup, person]\n")
    assert lines(file)[0] == f"{file}: {says}"


def test_two_categories_of_one_name(tmp_path):
    own_sets.coco(tmp_path, {"train": TRAIN})
    file = tmp_path / "annotations/instances_train.json"
    file.write_text(file.read_text().replace('"person"', '"cup"'))
    assert "category 14 'cup' is there twice; name each class once" in lines(tmp_path)[0]


def test_data_without_any_box(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    shutil.rmtree(tmp_path / "labels")
    said = only(tmp_path)
    assert said.startswith(f"{tmp_path}: its 4 training pictures have no boxes at all")
    assert f"no box is in {tmp_path}/labels/train/00.txt, for example" in said


def test_many_mistakes_are_twenty_lines_and_a_count(tmp_path):
    own_sets.yolo(tmp_path, {"train": own_sets.pictures(30)})
    for file in (tmp_path / "labels/train").iterdir():
        file.write_text("5 0.5 0.5 0.2 0.2\n")
    said = lines(tmp_path)
    assert len(said) == 22
    assert len(said[:20]) == dataset.SHOWN
    assert said[20:] == ["… and 10 more", f"{tmp_path}: 30 mistakes in the data, nothing was trained"]


def test_mistakes_of_all_kinds_are_named_at_once(tmp_path):
    own_sets.voc(tmp_path, {"train": TRAIN, "val": VAL})
    (tmp_path / "JPEGImages/00.jpg").unlink()
    (tmp_path / "JPEGImages/01.jpg").write_bytes(b"")
    (tmp_path / "Annotations/04.xml").write_text("<html/>")
    (tmp_path / "ImageSets/Main/val.txt").write_text("04\n../05\n")
    said = lines(tmp_path)
    assert all(part in line for part, line in zip(["val.txt", "04.xml", "00.jpg", "01.jpg"], said, strict=False))
    assert said[-1].startswith(f"{tmp_path}: 4 mistakes")


def test_a_box_a_little_over_the_edge_is_clipped_and_noted(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    file = tmp_path / "labels/train/00.txt"
    file.write_text("0 0.9 0.5 0.235 0.5\n")  # to 81.4 of 80 pixels
    data = read(tmp_path)
    assert np.allclose(data.train[0].boxes, [[62.6, 15, 80, 45]], atol=1e-3)
    assert data.notes == (f"1 boxes reached beyond their picture and were clipped, e.g. {file} line 1",)


def test_checked_boxes_are_float32_inside_and_rounding_is_not_a_cut():
    boxes = np.array([[-0.3, 0, 10, 60.2], [79, 59, 81.5, 61.5]])
    found, wrong, cut = checked(boxes, (80, 60))
    assert found.tolist() == [[0, 0, 10, 60], [79, 59, 80, 60]]
    assert (wrong, cut) == ([], [1])
    assert checked(np.zeros((0, 4)), (80, 60))[0].shape == (0, 4)


def test_a_box_just_outside_of_the_edge_is_not_clipped_to_nothing():
    _, [(row, what)], _ = checked(np.array([[80.5, 0, 81.5, 10]]), (80, 60))
    assert row == 0
    assert "outside" in what


def test_a_photo_that_is_turned_has_its_boxes_upright(tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    image = Image.fromarray(np.zeros((60, 80, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(tmp_path / "images/train/00.jpg", exif=exif)
    (tmp_path / "labels/train/00.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    first = read(tmp_path).train[0]
    assert first.size == (60, 80)
    assert first.boxes.tolist() == [[15, 20, 45, 60]]
    assert cv2.imread(str(first.path)).shape[:2] == (80, 60)


@pytest.mark.parametrize("path", ["nowhere", "data.txt", "."])
def test_what_is_no_data_set(path, tmp_path):
    (tmp_path / "data.txt").write_text("x")
    [said] = lines(tmp_path / path)
    assert "expected a folder in VOC's layout" in said


def test_sizes_that_lie_are_refused_before_memory_is_used(tmp_path):
    own_sets.coco(tmp_path, {"train": TRAIN, "val": VAL})
    file = tmp_path / "annotations/instances_train.json"
    with file.open("wb") as opened:
        opened.truncate((1 << 30) + 1)
    assert "it has more than 1024 MiB" in lines(tmp_path)[0]


@pytest.mark.shared
def test_a_published_data_set(shared):
    data = read(shared / "voc2012-animals")
    assert (len(data.train), len(data.val), len(data.names)) == (2869, 479, 18)
    assert data.notes == ("left out, as no training picture shows them: train",)
